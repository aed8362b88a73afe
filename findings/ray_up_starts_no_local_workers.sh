#!/usr/bin/env bash
# ray 2.60.0: `ray up` for hosts of one's own (`provider: local`) ends well and starts the head alone.
# Its autoscaler, version 2 unless told otherwise, never starts the workers that the file lists, and
# says so nowhere: the cluster stays at one node.
#
# Guess: after `ray up` every host under worker_ips is started, as the documentation of on-premise
# clusters shows; the version of the autoscaler changes no more than how nodes are counted.
# Seen: with the version as it comes, the worker's start command has not run two minutes after `ray
# up` has ended with 0; with RAY_UP_enable_autoscaler_v2=0 it runs within one. Set that where `ray up`
# is called, or RAY_enable_autoscaler_v2=0 before the head's `ray start`.
#
# Needs root and sshd; both hosts are addresses of one network namespace. Takes five minutes.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "needs root, for a network namespace" >&2; exit 1; }
[ -x /usr/sbin/sshd ] || { echo "sshd is not installed" >&2; exit 1; }
folder=$(mktemp -d /tmp/rXXXXXX)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'ray[default]==2.60.0'
mkdir -p "$folder/home/.ssh" "$folder/ray"
ssh-keygen -q -t ed25519 -N '' -f "$folder/key"
ssh-keygen -q -t ed25519 -N '' -f "$folder/host"
cp "$folder/key.pub" "$folder/home/.ssh/authorized_keys"
chmod -R go= "$folder/home"
cat > "$folder/cluster.yaml" <<YAML
cluster_name: own
provider: {type: local, head_ip: 10.9.0.1, worker_ips: [10.9.0.2]}
auth: {ssh_user: root, ssh_private_key: $folder/key}
head_start_ray_commands:
  - $folder/venv/bin/ray stop
  - >-
    $folder/venv/bin/ray start --head --port=6379 --node-ip-address=10.9.0.1 --num-cpus=1
    --temp-dir=$folder/ray --object-store-memory=100000000 --disable-usage-stats
    --autoscaling-config=~/ray_bootstrap_config.yaml
worker_start_ray_commands:
  - touch $folder/worker-started
YAML
cat > "$folder/one.sh" <<'SH'
set -euo pipefail
folder=$1
ip link set lo up
ip address add 10.9.0.1/32 dev lo
ip address add 10.9.0.2/32 dev lo
# A home of its own: `ray up` writes into that of the user who logs in.
sed "s|^root:\(.*\):[^:]*:\([^:]*\)\$|root:\1:$folder/home:\2|" /etc/passwd > "$folder/passwd"
mount --bind "$folder/passwd" /etc/passwd
mkdir -p /run/sshd
/usr/sbin/sshd -p 22 -h "$folder/host" -o "StrictModes=no" -o "PidFile=$folder/sshd.pid"
rm -f "$folder/worker-started"
HOME="$folder/home" "$folder/venv/bin/ray" up -y "$folder/cluster.yaml" > "$folder/up.log" 2>&1 ||
  { tail -n 20 "$folder/up.log" >&2; exit 3; }
for _ in $(seq 120); do
  if [ -e "$folder/worker-started" ]; then echo started; exit; fi
  sleep 1
done
echo "not started"
SH
# With the namespace of processes everything ends.
in_a_host() { unshare --net --mount --pid --fork --mount-proc --kill-child bash "$folder/one.sh" "$folder"; }
as_it_comes=$(in_a_host)
echo "the autoscaler as it comes: the worker was $as_it_comes"
older=$(RAY_UP_enable_autoscaler_v2=0 in_a_host)
echo "version 1: the worker was $older"
[ "$as_it_comes" = "not started" ] && [ "$older" = started ] || exit 1
echo "as described"
