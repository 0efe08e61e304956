#!/usr/bin/env bash
# Train on a cluster that Slurm runs.
#
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR \
#       [arguments of tools/train.py]
#
# GPUS (8), GPUS_PER_NODE (8), CPUS_PER_TASK (5), SIGNAL (USR1@120) and
# SRUN_ARGS are taken from the environment.
#
# SIGNAL announces the end of the job's time, here 120 s before it; as on
# preemption (SIGTERM), the run then saves and exits with 75. Inside a batch
# job, which has to ask for the signal itself, the job is requeued then:
#
#   #SBATCH --requeue --open-mode=append --signal=USR1@120
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR --resume
#
# example:
#   GPUS=16 tools/slurm_train.sh PARTITION dckd \
#       configs/dckd_r34_r18_imagenet.py work_dirs/dckd --auto-scale-lr
set -e

if [ "$1" = --help ] || [ "$1" = -h ]; then
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit
fi

if [ $# -lt 4 ]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG WORK_DIR" \
        "[arguments of tools/train.py]" >&2
    exit 2
fi

PARTITION=$1
JOB_NAME=$2
CONFIG=$3
WORK_DIR=$4
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
CPUS_PER_TASK=${CPUS_PER_TASK:-5}
SIGNAL=${SIGNAL:-"USR1@120"}
SRUN_ARGS=${SRUN_ARGS:-""}
TOOLS=$(dirname "$0")

# SRUN_ARGS holds several arguments, so it is not quoted.
STATUS=0
PYTHONPATH="$TOOLS/..":$PYTHONPATH \
srun -p "$PARTITION" \
    --job-name="$JOB_NAME" \
    --gres="gpu:$GPUS_PER_NODE" \
    --ntasks="$GPUS" \
    --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="$CPUS_PER_TASK" \
    --kill-on-bad-exit=1 \
    --signal="$SIGNAL" \
    $SRUN_ARGS \
    python -u "$TOOLS/train.py" "$CONFIG" \
    --work-dir "$WORK_DIR" --launcher slurm "${@:5}" || STATUS=$?

# It says "resume me", and this is a batch job.
if [ "$STATUS" -eq 75 ] && [ -n "$SLURM_JOB_ID" ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$STATUS"
