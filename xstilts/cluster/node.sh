#!/usr/bin/env bash
# What the nodes of a cluster do, on AWS (cluster.yaml), on Google Cloud (gcp.yaml), on Kubernetes
# (raycluster.yaml) and on hosts of your own (local.yaml):
#   node.sh shell [NAME=VALUE ...]             the environment of shells and of the driver
#   node.sh mlflow start                       on the head: the MLflow server, unless it runs
#   node.sh ray start head [OPTION ...]        options go to `ray start`
#   node.sh ray start worker HEAD [OPTION ...]
#   node.sh pod head [OPTION ...]              in a pod, as its first process: Ray, until it dies
#   node.sh pod worker HEAD [OPTION ...]       or the pod is told to go
#   node.sh spot [gcp]                         on AWS, or on Google Cloud: stop trials when the
#                                              machine is called back
#   node.sh stop                               Ray and the MLflow server, whatever runs of them
# Every node has a Python environment in ~/venv, the storage that all share at /mnt/xstilts and, in
# ~/.ray/auth_token or in a pod's environment, the token of the cluster. SECURITY.md says what
# listens.
set -euo pipefail

VENV=$HOME/venv
SHARED=/mnt/xstilts
TOKEN=$HOME/.ray/auth_token
# This user's alone, on the node's own disk: Ray's sockets and logs, and the notice.
PRIVATE=/tmp/xstilts-$(id -u)
# Trials of this node write a checkpoint and stop when this file appears.
NOTICE=${XSTILTS_NOTICE:-$PRIVATE/notice}
# Where Ray's servers listen: a firewall between the nodes may admit these alone. 8265 and 10001 are
# the head's dashboard and client.
PORTS=(--node-manager-port=6380 --object-manager-port=6381 --runtime-env-agent-port=6382
  --metrics-export-port=6383 --dashboard-agent-grpc-port=6384 --dashboard-agent-listen-port=52365
  --min-worker-port=10002 --max-worker-port=19999)
# A call of the API, because /health answers even to hosts that are refused.
PROBE='http://127.0.0.1:5000/api/2.0/mlflow/experiments/get?experiment_id=0'

fail() {
  echo "node.sh: $*" >&2
  exit 1
}

# Nobody else may make the folder first, nor look into it.
make_private() {
  mkdir -m 700 "$PRIVATE" 2> /dev/null || true
  if [ -L "$PRIVATE" ] || [ ! -O "$PRIVATE" ]; then fail "$PRIVATE is not this user's"; fi
  chmod 700 "$PRIVATE"
}

# The mode is said everywhere, for a client that is not told it sends no token. Ray's temporary
# folder is how `--address auto` finds this Ray, and no other.
shell() {
  touch ~/.bashrc
  sed -i '/# xstilts$/d' ~/.bashrc
  echo "export PATH=\$HOME/venv/bin:\$PATH RAY_AUTH_MODE=token RAY_TMPDIR=$PRIVATE" \
    "RAY_USAGE_STATS_ENABLED=0 $* # xstilts" >> ~/.bashrc
}

# On loopback: the driver is its only writer and runs here, you come through ssh. SQLite is on the
# head's own disk, for it is unsafe on NFS.
mlflow_start() {
  if ! mlflow_answers; then
    mkdir -p ~/mlflow
    MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
      setsid nohup "$VENV/bin/mlflow" server --host 127.0.0.1 --port 5000 --workers 1 \
      --allowed-hosts 'localhost:*,127.0.0.1:*' \
      --backend-store-uri "sqlite:///$HOME/mlflow/mlflow.db" \
      --artifacts-destination "$HOME/mlflow/artifacts" > ~/mlflow/server.log 2>&1 < /dev/null &
    for _ in $(seq 60); do
      if mlflow_answers; then break; fi
      sleep 2
    done
  fi
  mlflow_answers || fail "the MLflow server does not answer: $(tail -n 20 ~/mlflow/server.log)"
}

mlflow_answers() { curl -fs -o /dev/null "$PROBE"; }

# The server's session leaders; their groups hold its workers.
mlflow_servers() {
  pgrep -u "$(id -u)" -f "mlflow server .*sqlite:///$HOME/mlflow/mlflow.db" || true
}

# No node joins without the shared storage, and no worker with another than its head's.
check_storage() {
  mountpoint -q "$SHARED" || fail "nothing is mounted at $SHARED"
  test -w "$SHARED/runs" || fail "$SHARED/runs cannot be written"
  mkdir -p "$SHARED/heads"
  if [ "$1" = head ]; then
    for address in $(hostname -I); do touch "$SHARED/heads/$address"; done
  else
    test -e "$SHARED/heads/$2" || fail "$SHARED is not the storage of the head $2"
  fi
}

# `ray up` or a Secret brought the token; whoever has it runs what he likes on all nodes.
check_token() {
  if [ -n "${RAY_AUTH_TOKEN-}" ]; then return; fi
  if [ ! -s "$TOKEN" ]; then
    fail "no token in $TOKEN; where you type \`ray up\`: umask 077; ray get-auth-token --generate"
  fi
  chmod 700 "$(dirname "$TOKEN")"
  chmod 600 "$TOKEN"
}

# The processes of the Ray that was started below, for `ray stop` ends every Ray of the machine. All
# have the mark in their environment, but some write their title over it: children of the others.
ray_processes() {
  local found='' more
  more=$(grep -slzxF "XSTILTS_RAY=$PRIVATE" /proc/[0-9]*/environ | cut -d/ -f3 | paste -sd, || true)
  while [ -n "$more" ]; do
    found+=${found:+,}$more
    more=$(pgrep -d, -P "$more" || true)
  done
  echo "${found//,/ }"
}

# At once, as `ray stop --force` does: trials go on from their checkpoints.
end_ray() {
  local processes
  for _ in $(seq 40); do
    processes=$(ray_processes)
    if [ -z "$processes" ]; then
      rm -f "$PRIVATE/ray/ray_current_cluster" # else `--address auto` waits for it
      return
    fi
    # shellcheck disable=SC2086
    kill -KILL $processes 2> /dev/null || true
    sleep 0.25
  done
  fail "Ray does not end"
}

ray_start() {
  local role=$1 place=(--head --port=6379 --dashboard-host=127.0.0.1)
  shift
  check_storage "$role" "$@"
  check_token
  make_private
  if [ "$role" = worker ]; then
    place=("--address=$1:6379")
    shift
  fi
  end_ray
  # Ray wants many files; with fewer it warns, and a small cluster runs all the same.
  ulimit -n 65536 2> /dev/null || true
  # What a worker reads is on the storage, encoded by the driver: trials need no network. The
  # object store is small: nothing but small dicts travels through Ray.
  RAY_AUTH_MODE=token RAY_TMPDIR=$PRIVATE RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=1 \
    TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1 XSTILTS_NOTICE="$NOTICE" XSTILTS_RAY="$PRIVATE" \
    "$VENV/bin/ray" start "${place[@]}" "${PORTS[@]}" --temp-dir="$PRIVATE/ray" \
    --object-store-memory=209715200 --disable-usage-stats "$@"
}

# TERM is the notice, to the first process alone: Kubernetes then waits for what trials write, for
# terminationGracePeriodSeconds.
pod() {
  local role=$1 address=() ray
  shift
  make_private
  rm -f "$NOTICE"
  trap 'touch "$NOTICE"' TERM
  if [ "$role" = worker ]; then
    # By its address, not the name of its service, the head has marked the storage.
    mapfile -t address < <(getent ahostsv4 "$1" | cut -d ' ' -f 1)
    set -- "${address[0]:?of the head is unknown}" "${@:2}"
  fi
  ray_start "$role" "$@" --block &
  ray=$!
  while ! [ -e "$NOTICE" ] && kill -0 "$ray" 2> /dev/null; do wait "$ray" || true; done
  if ! [ -e "$NOTICE" ]; then fail "Ray has died"; fi
  for _ in $(seq 50); do
    if ! has_trials; then break; fi
    sleep 1
  done
  end_ray
}

has_trials() { ray_processes | tr ' ' '\n' | sed 's,.*,/proc/&/cmdline,' | xargs grep -qs TrialActor; }

# A spot machine is told before it is called back, two minutes on AWS and half a minute on Google
# Cloud: enough for a checkpoint.
spot() {
  make_private
  rm -f "$NOTICE"
  until "called_back_by_$1"; do sleep "${XSTILTS_METADATA_EVERY_S:-5}"; done
  touch "$NOTICE"
}

called_back_by_aws() {
  local metadata=${XSTILTS_METADATA:-http://169.254.169.254}/latest token
  token=$(curl -fs -m 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \
    "$metadata/api/token") || token=
  curl -fs -m 2 -o /dev/null -H "X-aws-ec2-metadata-token: $token" \
    "$metadata/meta-data/spot/instance-action"
}

called_back_by_gcp() {
  local metadata=${XSTILTS_METADATA:-http://metadata.google.internal}/computeMetadata/v1
  [ "$(curl -fs -m 2 -H 'Metadata-Flavor: Google' "$metadata/instance/preempted")" = TRUE ]
}

# `ray down` leaves the MLflow server, and of hosts of your own the workers' Ray too.
stop() {
  end_ray
  local groups signal
  groups=$(mlflow_servers | paste -sd,)
  if [ -z "$groups" ]; then return; fi
  for signal in TERM KILL; do
    pkill "-$signal" -g "$groups" || return 0
    for _ in $(seq 20); do
      pgrep -g "$groups" > /dev/null || return 0
      sleep 0.5
    done
  done
  fail "the MLflow server does not end"
}

case "${1-} ${2-} ${3-}" in
  "shell "*) shift && shell "$@" ;;
  "mlflow start ") mlflow_start ;;
  "ray start head") shift 3 && ray_start head "$@" ;;
  "ray start worker") shift 3 && ray_start worker "${1:?the address of the head}" "${@:2}" ;;
  "pod head "*) shift 2 && pod head "$@" ;;
  "pod worker "*) shift 2 && pod worker "${1:?the address of the head}" "${@:2}" ;;
  "spot  ") spot aws ;;
  "spot gcp ") spot gcp ;;
  "stop  ") stop ;;
  *) fail "unknown: $*; see the first lines of $0" ;;
esac
