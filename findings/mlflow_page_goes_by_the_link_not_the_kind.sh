#!/usr/bin/env bash
# mlflow 3.17.2: whether its page shows an experiment's training runs or the traces of language models
# hangs on the link alone. The tag by which MLflow's own code and page name the kind of an experiment,
# mlflow.experimentKind, changes nothing of what opens.
#
# Guess: an experiment tagged custom_model_development opens on its runs, one tagged
# genai_development on traces, one without a tag on what it holds: here all hold one run and no trace.
# Seen: /#/experiments/N shows the empty page of traces for all three and names no run;
# /#/experiments/N?workflowType=machine_learning shows the run for all three, also where the tag says
# genai_development. Whoever opens an experiment from a bookmark, or from a training script's output,
# sees neither runs nor scores. Print links with workflowType=machine_learning.
#
# Needs chromium. Takes two minutes.
set -euo pipefail
command -v chromium > /dev/null || { echo "chromium is not installed" >&2; exit 1; }
folder=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server" 2> /dev/null || true; sleep 1; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mlflow==3.17.2
export MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
store="sqlite:///$folder/mlflow.db"
cat > "$folder/fill.py" <<'PY'
import sys

from mlflow import MlflowClient

client = MlflowClient(sys.argv[1])
for kind in ("custom_model_development", "genai_development", ""):
    tags = {"mlflow.experimentKind": kind} if kind else {}
    experiment = client.create_experiment(f"kind {kind or 'unsaid'}", tags=tags)
    run = client.create_run(experiment, run_name=f"trained-{experiment}")
    client.log_metric(run.info.run_id, "accuracy", 0.5)
    client.set_terminated(run.info.run_id)
PY
"$folder/venv/bin/python" "$folder/fill.py" "$store" 2> /dev/null
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$folder/venv/bin/python" -m mlflow server --backend-store-uri "$store" --host 127.0.0.1 \
  --port "$port" --workers 1 > "$folder/server.log" 2>&1 &
server=$!
until curl -sf "http://127.0.0.1:$port/health" > /dev/null; do
  kill -0 "$server" || { cat "$folder/server.log" >&2; exit 1; }
  sleep 1
done
for number in 1 2 3; do
  for query in "" "?workflowType=machine_learning"; do
    chromium --headless=new --no-sandbox --disable-gpu --dump-dom --window-size=1600,1000 \
      --user-data-dir="$folder/profile" --virtual-time-budget=30000 \
      "http://127.0.0.1:$port/#/experiments/$number$query" > "$folder/page.html" 2> /dev/null
    runs=$(grep -c "trained-$number" "$folder/page.html" || true)
    traces=$(grep -c "Detect Issues in Your Traces" "$folder/page.html" || true)
    echo "experiment $number, link '$query': its run is named in $runs lines, traces offered in $traces"
    expected="0 1" # no run is named, traces are offered
    if [ -n "$query" ]; then expected="1 0"; fi
    [ "$((runs > 0)) $((traces > 0))" = "$expected" ] || { echo "that has changed" >&2; exit 1; }
  done
done
