# Fits a logistic mixed model with lme4: Rscript glmer.R TABLE FORMULA SECONDS FOUND.
# TABLE is comma-separated, with columns right (0 or 1) and arm (-0.5 or 0.5); all others are labels.
# FOUND gets lines "name value": log_odds and error of arm, converged, and sd:TERM of each random
# term. What lme4 would warn of is in these; where it fails stderr ends with why.
# SECONDS are of a core, so that how busy the machine is decides nothing.
suppressPackageStartupMessages(library(lme4))
arguments <- commandArgs(trailingOnly = TRUE)
table <- read.csv(arguments[1])
for (name in setdiff(names(table), c("right", "arm"))) table[[name]] <- factor(table[[name]])
# The Hessian is asked for whatever the number of rows: errors and the check of convergence stand
# on it, and lme4's default has changed. Its tolerance of the inner iterations (1e-7) leaves the
# likelihood of a point to where they began: an optimiser that began in its own optimum ended
# outside of it, with other log odds and no warning.
control <- glmerControl(optimizer = "bobyqa", optCtrl = list(maxfun = 10000), calc.derivs = TRUE,
                        tolPwrss = 1e-9, check.conv.singular = "ignore")
setTimeLimit(cpu = as.numeric(arguments[3]))
fit <- tryCatch(
  suppressWarnings(glmer(as.formula(arguments[2]), table, family = binomial, control = control)),
  error = function(reason) { message(conditionMessage(reason)); quit(status = 1) })
converged <- fit@optinfo$conv$opt == 0 && length(fit@optinfo$conv$lme4$messages) == 0
spread <- as.data.frame(VarCorr(fit))
terms <- ifelse(spread$var1 == "arm", paste0("arm|", spread$grp), spread$grp)
# lme4 numbers terms of one group, item and item.1, and writes item.cell for item:cell.
terms <- sub("item.cell", "item:cell", sub("[.][0-9]+$", "", terms), fixed = TRUE)
numbers <- c(log_odds = fixef(fit)[["arm"]], error = sqrt(vcov(fit)["arm", "arm"]),
             converged = as.numeric(converged), setNames(spread$sdcor, paste0("sd:", terms)))
writeLines(paste(names(numbers), format(numbers, digits = 17, trim = TRUE)), arguments[4])
