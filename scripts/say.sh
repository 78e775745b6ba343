# Sourced by the scripts: one voice for what they say, always on standard error.
script=$(basename "$0")
if [ -t 2 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then bold=$'\033[1m' plain=$'\033[0m'; else bold='' plain=''; fi

say() { printf '%s%s: %s%s\n' "$bold" "$script" "$*" "$plain" >&2; }
fail() { printf '%s: %s\n' "$script" "$1" >&2; exit "${2:-3}"; }
