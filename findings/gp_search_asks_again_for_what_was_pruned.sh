#!/usr/bin/env bash
# optuna 5.0.0 with torch 2.13.0 and scipy 1.17.1: GPSampler learns nothing from a trial that a pruner
# stops, so that it asks for the same point again, and again for as long as that is pruned.
#
# Guess: a pruned trial tells a sampler what it reported, as it tells TPESampler; a pruner saves
# GPSampler epochs at hardly any loss.
# Seen: accuracy rises with the learning rate up to a cliff, beyond which runs collapse; five epochs,
# MedianPruner as it comes, three seeds. Of the 30 trials after the random ones GPSampler has 27 pruned,
# and most of these are followed by the same trial, to a hundredth of the search space: 30 trials try
# ten learning rates. Its best is 0.01 to 0.05 below what it finds without a pruner; TPESampler repeats
# none and comes as near to the cliff as GPSampler without. The sampler reads completed and running
# trials alone, and with nothing new to fit, the best point to try is where it was. Return the last
# value where the pruner says stop, instead of raising TrialPruned: three of ten epochs are
# still saved, and the search goes on.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  optuna==5.0.0 torch==2.13.0 scipy==1.17.1
cat > "$folder/search.py" <<'PY'
import math
import warnings
from itertools import pairwise

import optuna
from optuna.pruners import MedianPruner, NopPruner
from optuna.samplers import GPSampler, TPESampler
from optuna.trial import TrialState

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)
RANDOM, SEEDS = 10, 3


def objective(trial, is_raised):
    rate = trial.suggest_float("rate", 1e-6, 1e-3, log=True)
    warmup = trial.suggest_float("warmup", 0, 0.5)
    chance = 0.33
    final = 0.5 + 0.12 * math.log10(rate / 1e-6) - 0.2 * (warmup - 0.1) ** 2
    if rate > 3e-4:
        final = chance
    for epoch in range(1, 6):
        accuracy = chance + (final - chance) * (1 - 0.5**epoch)
        trial.report(accuracy, epoch)
        if trial.should_prune():
            if is_raised:
                raise optuna.TrialPruned
            break
    return accuracy


def is_near(trial, other):
    rates = (math.log10(t.params["rate"]) / 3 for t in (trial, other))
    warmups = (t.params["warmup"] / 0.5 for t in (trial, other))
    return all(abs(a - b) < 0.01 for a, b in (rates, warmups))


def search(label, sampler, pruner, is_raised=True):
    pruned = repeated = rates = epochs = 0
    best = []
    for seed in range(SEEDS):
        study = optuna.create_study(
            direction="maximize", sampler=sampler(seed=seed), pruner=pruner
        )
        study.optimize(lambda trial: objective(trial, is_raised), n_trials=RANDOM + 30)
        after = study.trials[RANDOM:]
        pruned += sum(t.state == TrialState.PRUNED for t in after)
        repeated += sum(t.state == TrialState.PRUNED and is_near(t, u) for t, u in pairwise(after))
        rates += len({f"{t.params['rate']:.1e}" for t in after})
        epochs += sum(len(t.intermediate_values) for t in after)
        best.append(study.best_value)
    print(
        f"{label}: {pruned} of {30 * SEEDS} pruned, {repeated} of them asked for again at once, "
        f"{rates} learning rates, {epochs} epochs, best", *(f"{value:.3f}" for value in best)
    )
    return pruned, repeated, rates, epochs, sum(best) / SEEDS


gp = search("GPSampler, MedianPruner", GPSampler, MedianPruner())
free = search("GPSampler, no pruner", GPSampler, NopPruner())
told = search("GPSampler, value returned", GPSampler, MedianPruner(), is_raised=False)
tpe = search("TPESampler, MedianPruner", TPESampler, MedianPruner())
assert gp[0] > 65 and gp[1] > 0.5 * gp[0] and gp[2] < 45, gp
assert tpe[1] < 5 and tpe[2] > 65, tpe
assert free[2] > 50 and told[2] > 50 and told[3] < 0.85 * free[3], (free, told)
assert gp[4] < free[4] - 0.01 and gp[4] < tpe[4] - 0.01 and told[4] > gp[4] + 0.01
PY
OMP_NUM_THREADS=1 "$folder/venv/bin/python" "$folder/search.py"
echo "as described"
