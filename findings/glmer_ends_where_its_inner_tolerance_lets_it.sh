#!/usr/bin/env bash
# lme4 1.1-31 (R 4.2.2, Matrix 1.5-3, as Debian 12 has them): glmer of one table of right and wrong
# answers ends in three places by its three optimisers, one of them without a warning; no tolerance
# of the optimisers changes that, the one of the iteration inside (tolPwrss) does.
#
# Guess: where fits differ, or warn that they failed to converge, another optimiser, a tighter
# tolerance of it or a restart from its optimum settles it, as the warnings' page advises.
# Seen: 600 items, most of which are nearly always right or wrong, in six runs of two arms.
# Nelder_Mead, the default's last step, ends at -2 log L 3466.56 with a standard error of 0.0002 for
# an effect of 0.05, and warns; bobyqa at 3466.60 with 0.348 and no warning, as does a restart from
# the default's optimum; nloptwrap at 3466.39 with 0.369, and warns, also with tolerances of 1e-10.
# With tolPwrss 1e-8 and 1e-10 (1e-7 if not given) the default ends at 3466.35 with 0.365 and no
# warning, also where it begins at the optimum of before. So the likelihood that the optimisers see
# is not exact enough to be climbed. Set tolPwrss to 1e-9 where many items are easy or hard.
#
# Needs Debian 12 and its package sources; nothing is installed outside the temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder"/debs/partial "$folder"/system/usr/{bin,lib,lib64,sbin}
: > "$folder/status"
apt-get -qq -o Dir::State::status="$folder/status" -o Dir::Cache::archives="$folder/debs" \
  -o Debug::NoLocking=1 -o APT::Sandbox::User=root --download-only -y --no-install-recommends \
  install r-base-core=4.2.2.20221110-2 r-cran-lme4=1.1-31-1 r-cran-matrix=1.5-3-1 > "$folder/log" 2>&1 ||
  { cat "$folder/log"; exit 1; }
for part in bin lib lib64 sbin; do ln -s "usr/$part" "$folder/system/$part"; done
for package in "$folder"/debs/*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar -x -C "$folder/system" --keep-directory-symlink --no-same-owner
done
cat > "$folder/fit.R" <<'R'
suppressPackageStartupMessages(library(lme4))
stopifnot(packageVersion("lme4") == "1.1.31", glmerControl()$tolPwrss == 1e-7)
set.seed(1)
items <- 600
runs <- 3
ease <- rnorm(items, 0, 5)
gain <- rnorm(items, 0, 4)
answers <- expand.grid(item = 1:items, run = 1:(2 * runs))
answers$arm <- ifelse(answers$run <= runs, 0.5, -0.5)
luck <- rnorm(2 * runs, 0, 0.3)
chance <- 1 + luck[answers$run] + ease[answers$item] + (0.5 + gain[answers$item]) * answers$arm
answers$right <- rbinom(nrow(answers), 1, plogis(chance))
answers$item <- factor(answers$item)
answers$run <- factor(answers$run)

fit <- function(label, start = NULL, ...) {
  warned <- 0
  model <- withCallingHandlers(
    glmer(right ~ arm + (1 | item) + (0 + arm | item) + (1 | run), answers, binomial,
          start = start, control = glmerControl(...)),
    warning = function(w) { warned <<- warned + 1; invokeRestart("muffleWarning") }
  )
  told <- c(deviance = -2 * as.numeric(logLik(model)), error = sqrt(vcov(model)["arm", "arm"]),
            warned = warned)
  cat(sprintf("%-28s -2 log L %.2f, standard error %.4f, warnings %d\n",
              label, told[["deviance"]], told[["error"]], warned))
  list(at = list(theta = getME(model, "theta"), fixef = fixef(model)), told = told)
}
is <- function(found, deviance, error, warned)
  stopifnot(abs(found$told[["deviance"]] - deviance) < 0.01,
            abs(found$told[["error"]] - error) < 0.002, (found$told[["warned"]] > 0) == warned)

default <- fit("default")
is(default, 3466.56, 0.0002, TRUE)
is(fit("default, restarted", default$at), 3466.60, 0.348, FALSE)
is(fit("bobyqa", optimizer = "bobyqa"), 3466.60, 0.348, FALSE)
outer <- list(xtol_abs = 1e-10, ftol_abs = 1e-10, maxeval = 20000)
is(fit("nloptwrap", optimizer = "nloptwrap"), 3466.39, 0.369, TRUE)
is(fit("nloptwrap, outer 1e-10", optimizer = "nloptwrap", optCtrl = outer), 3466.39, 0.369, TRUE)
is(fit("inner 1e-8", tolPwrss = 1e-8), 3466.35, 0.365, FALSE)
is(fit("inner 1e-10", tolPwrss = 1e-10), 3466.35, 0.365, FALSE)
is(fit("inner 1e-10, restarted", default$at, tolPwrss = 1e-10), 3466.35, 0.365, FALSE)
R
libraries=$folder/system/usr/lib/x86_64-linux-gnu
# By their own loader, so that nothing of the machine's is in them.
env -i LC_ALL=C TMPDIR="$folder" R_HOME="$folder/system/usr/lib/R" R_DEFAULT_PACKAGES=stats,methods,utils \
  R_LIBS="$folder/system/usr/lib/R/site-library" "$libraries/ld-linux-x86-64.so.2" \
  --library-path "$folder/system/usr/lib/R/lib:$libraries:$libraries/blas:$libraries/lapack" \
  "$folder/system/usr/lib/R/bin/exec/R" --no-echo --vanilla --file="$folder/fit.R"
echo "as described"
