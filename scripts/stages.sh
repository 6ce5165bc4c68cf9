# For sourcing by the scripts of this folder: stages with quiet logs, told times, and the tail of the log where one fails.
# shellcheck shell=bash

seconds_now() { date +%s.%N; }

seconds_since() { awk -v a="$1" -v b="$(seconds_now)" 'BEGIN { printf "%.1f", b - a }'; }

# stage TITLE LOG COMMAND...: runs the command with its output in LOG; prints title and seconds; on failure shows
# the log's tail and returns the command's exit code.
stage() {
  local title=$1 log=$2 start code=0
  shift 2
  mkdir -p "$(dirname "$log")"
  start=$(seconds_now)
  "$@" >"$log" 2>&1 </dev/null || code=$?
  if [[ $code -ne 0 ]]; then
    printf '%s\n' "---- last lines of $log" >&2
    tail -n 40 "$log" >&2
    printf '%-28s failed with exit code %d after %s s; whole log: %s\n' "$title" "$code" "$(seconds_since "$start")" \
      "$log" >&2
    return "$code"
  fi
  printf '%-28s %6s s\n' "$title" "$(seconds_since "$start")"
}

# Compilers at once: one per core, fewer where memory is short (the largest file needs about 1.5 GB).
compile_jobs() {
  local cores memory_gb jobs
  cores=$(nproc)
  memory_gb=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo 2>/dev/null || echo 4)
  jobs=$((memory_gb * 2 / 3))
  ((jobs < cores)) || jobs=$cores
  ((jobs >= 1)) || jobs=1
  echo "$jobs"
}
