# For sourcing by the scripts of this folder: a run so small that one attempt takes a second, its reference, launching
# and ending it, numbers drawn from a seed, and progress with an estimate of the time left.
# shellcheck shell=bash

soak_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
soak_program=$soak_root/build/release/switchyard
soak_count=0
soak_seed=1
soak_keep=false

soak_usage_error() {
  usage >&2
  exit 2
}

# soak_parse DEFAULT_COUNT ARGUMENT...: --count, --seed, --binary and --keep; calls `usage` of the script for --help.
soak_parse() {
  soak_count=$1
  shift
  while (($# > 0)); do
    case $1 in
      --count) [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || soak_usage_error; soak_count=$2; shift 2 ;;
      --seed) [[ ${2:-} =~ ^[0-9]+$ ]] || soak_usage_error; soak_seed=$2; shift 2 ;;
      --binary) [[ -n ${2:-} ]] || soak_usage_error; soak_program=$2; shift 2 ;;
      --keep) soak_keep=true; shift ;;
      -h | --help) usage; exit 0 ;;
      *) soak_usage_error ;;
    esac
  done
  [[ -x $soak_program ]] || {
    printf 'no program at %s; build it: scripts/build release, or name one with --binary\n' "$soak_program" >&2
    exit 2
  }
  soak_program=$(realpath "$soak_program")
  RANDOM=$soak_seed
  soak_begin=$SECONDS
}

# A folder of its own that goes with the script, in $soak_folder.
soak_make_folder() {
  soak_folder=$(mktemp -d "${TMPDIR:-/tmp}/switchyard-soak-XXXXXX")
  trap 'soak_clean_up' EXIT
}
soak_clean_up() {
  soak_end_all
  $soak_keep && printf 'kept: %s\n' "$soak_folder" >&2 || rm -rf "$soak_folder"
}

# soak_make_run STEPS: data and config.yaml of a model with four experts; four micro-batches a step, so that up to four
# ranks have work. A step takes about two milliseconds.
soak_make_run() {
  awk 'BEGIN { srand(7); for (d = 0; d < 40; ++d) { line = ""; for (i = 0; i < 80; ++i) line = line "w" int(rand() * 30) " ";
    printf "{\"text\": \"%s\"}\n", line } }' > "$soak_folder/text.jsonl"
  "$soak_program" prepare "$soak_folder/text.jsonl" --output "$soak_folder/data" > "$soak_folder/prepare.log" 2>&1
  cat > "$soak_folder/config.yaml" <<YAML
run: {name: soak, seed: 7, threads: 1}
model: {layers: 1, width: 16, heads: 2, kv_heads: 1, moe: {experts: 4, top_k: 2, expert_width: 8, bias_balancing: true}}
data: {train: $soak_folder/data, sequence_length: 8}
train: {steps: $1, global_batch: 8, micro_batch: 2, evaluate_every: 0}
optimizer: {learning_rate: 1e-2}
checkpoint: {every: 2, keep: 3}
YAML
}

# soak_draw N: sets $drawn to a number in [0, N), N at most 2^30. Not a subshell: those would not move RANDOM on.
soak_draw() { drawn=$(((RANDOM * 32768 + RANDOM) % $1)); }

# soak_draw_layout: sets $ranks and $axis to a layout that four experts allow.
soak_layouts=(1x1 1x1 2x1 2x2 3x1 4x1 4x2 4x4)
soak_draw_layout() {
  soak_draw ${#soak_layouts[@]}
  local layout=${soak_layouts[drawn]}
  ranks=${layout%x*} axis=${layout#*x}
}

# soak_start RUN LOG KEY=VALUE...: starts a training of $ranks ranks in the background; $launcher is its process.
soak_start() {
  local run=$1 log=$2 settings=() setting
  shift 2
  for setting in "$@"; do settings+=(--set "$setting"); done
  "$soak_root/scripts/launch" -n "$ranks" -- "$soak_program" train "$soak_folder/config.yaml" \
    --set "run.directory=$run" --set "parallel.expert=$axis" "${settings[@]}" > "$log" 2>&1 &
  launcher=$!
}

# The ranks that train in RUN, as process numbers.
soak_ranks() { pgrep -f "^$soak_program train $soak_folder/config.yaml --set run.directory=$1 " || true; }
# The mpirun above them.
soak_mpirun() { pgrep -f "^mpirun .* --set run.directory=$1 " || true; }
# Whatever of this script still runs. The folder's random name is in every command line.
soak_end_all() { pkill -KILL -f "train $soak_folder/config.yaml" 2> /dev/null || true; }

# soak_wait_gone RUN SECONDS: waits for launcher and ranks of a run; ends what is left after SECONDS. Sets $lingered.
soak_wait_gone() {
  local end=$((SECONDS + $2))
  lingered=false
  while [[ -n $(soak_ranks "$1")$(soak_mpirun "$1") ]]; do
    if ((SECONDS > end)); then
      lingered=true
      soak_end_all
    fi
    sleep 0.05
  done
  exit_code=0
  wait "$launcher" 2> /dev/null || exit_code=$?
}

# soak_newest RUN: sets $newest to the highest step of a committed checkpoint, -1 if there is none. By name only.
soak_newest() {
  local path
  newest=-1
  for path in "$1"/checkpoints/step-*; do
    [[ -d $path ]] && newest=$((10#${path##*step-}))
  done
  return 0
}

# soak_wait_newer RUN STEP SECONDS: until a checkpoint beyond STEP is there, the launcher ends, or SECONDS have passed.
soak_wait_newer() {
  local end=$((SECONDS + $3))
  while soak_newest "$1" && ((newest <= $2 && SECONDS < end)) && kill -0 "$launcher" 2> /dev/null; do sleep 0.02; done
}

soak_checkpoint() { printf '%s/checkpoints/step-%08d' "$1" "$2"; }

# soak_digest RUN STEP: sets $digest to that of the checkpoint, which is verified on the way; empty if it is not whole.
soak_digest() { digest=$("$soak_program" inspect --digest "$(soak_checkpoint "$1" "$2")" 2> "$soak_folder/inspect.log") || digest=""; }

# soak_make_reference STEPS: one uninterrupted run on one rank that keeps a checkpoint every second step; fills the
# array `reference` with the digest of each.
declare -A reference
soak_make_reference() {
  local step
  ranks=1 axis=1
  soak_start "$soak_folder/reference" "$soak_folder/reference.log" checkpoint.keep=1000000 metrics.per_expert=false
  soak_wait_gone "$soak_folder/reference" 300
  for ((step = 2; step <= $1; step += 2)); do
    soak_digest "$soak_folder/reference" "$step"
    [[ -n $digest ]] || { cat "$soak_folder/reference.log" "$soak_folder/inspect.log" >&2; exit 1; }
    reference[$step]=$digest
  done
}

# soak_progress DONE ALL TEXT: one line on stderr, redrawn on a terminal, every tenth of the way elsewhere.
soak_progress() {
  local done=$1 all=$2 text=$3 left
  left=$(((SECONDS - soak_begin) * (all - done) / (done > 0 ? done : 1)))
  local line
  line=$(printf '%d of %d  %s  %dm%02ds left' "$done" "$all" "$text" $((left / 60)) $((left % 60)))
  if [[ -t 2 ]]; then
    printf '\r\033[K%s' "$line" >&2
    ((done < all)) || printf '\n' >&2
  elif ((done == all || done * 10 / all != (done - 1) * 10 / all)); then
    printf '%s\n' "$line" >&2
  fi
}
