# Fits models with lme4, lmerTest and pbkrtest: mixed_reference.R FOLDER, which has a file a case,
# NAME.csv with columns y, x..., groups..., and NAME.formula. Writes NAME.fixed (estimate, error, dof, adjusted error, dof a row) and
# NAME.variances (terms, residual, criterion).
suppressPackageStartupMessages({library(lme4); library(lmerTest); library(pbkrtest)})
folder <- commandArgs(trailingOnly = TRUE)[1]
for (path in list.files(folder, pattern = "[.]csv$", full.names = TRUE)) {
  name <- sub("[.]csv$", "", path)
  formula <- as.formula(readLines(paste0(name, ".formula")))
  table <- read.csv(path, colClasses = c(g1 = "factor", g2 = "factor"))
  control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e5),
                         check.conv.singular = "ignore", calc.derivs = FALSE)
  fit <- suppressWarnings(lmerTest::lmer(formula, table, REML = TRUE, control = control))
  fixed <- coef(summary(fit, ddf = "Satterthwaite"))
  adjusted <- as.matrix(vcovAdj(fit))
  kenward <- sapply(seq_len(nrow(fixed)), function(place) {
    weights <- rep(0, nrow(fixed)); weights[place] <- 1
    get_Lb_ddf(fit, weights)
  })
  numbers <- cbind(fixed[, 1:3], sqrt(diag(adjusted)), kenward)
  write.table(numbers, paste0(name, ".fixed"), row.names = FALSE, col.names = FALSE)
  variances <- c(as.data.frame(VarCorr(fit))$vcov, REMLcrit(fit))
  write.table(variances, paste0(name, ".variances"), row.names = FALSE, col.names = FALSE)
}
