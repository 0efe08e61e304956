#!/usr/bin/env bash
# Train in several processes, on one machine or more: a GPU each, through nccl,
# or where there is no GPU on the CPU, through gloo.
#
#   tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
#
# GPUS is the number of processes on each machine. With several machines, set
# NNODES, MASTER_ADDR and PORT on each of them. With MAX_RESTARTS=3, if a
# process dies, all restart, at most three times, and continue from the last
# checkpoint in the work folder.
#
# example:
#   tools/dist_train.sh configs/dckd_r34_r18_imagenet.py 8 --auto-scale-lr
set -e

if [ "$1" = --help ] || [ "$1" = -h ]; then
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit
fi

if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG GPUS [arguments of tools/train.py]" >&2
    exit 2
fi

CONFIG=$1
GPUS=$2
NNODES=${NNODES:-1}
PORT=${PORT:-29500}
MAX_RESTARTS=${MAX_RESTARTS:-0}
MASTER_ADDR=${MASTER_ADDR:-"127.0.0.1"}
TOOLS=$(dirname "$0")

# Each round of processes uses its own store: that of an earlier round contains
# the addresses of dead processes.
PYTHONPATH="$TOOLS/..":$PYTHONPATH \
TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 \
exec python -m torch.distributed.run \
    --nnodes="$NNODES" \
    --rdzv_backend=c10d \
    --rdzv_endpoint="$MASTER_ADDR:$PORT" \
    --nproc_per_node="$GPUS" \
    --max_restarts="$MAX_RESTARTS" \
    "$TOOLS/train.py" "$CONFIG" --launcher pytorch "${@:3}"
