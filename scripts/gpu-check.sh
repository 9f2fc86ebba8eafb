#!/usr/bin/env bash
# Everything that only a GPU can show, in one call and as one table (scripts/gpu-check.ts makes the checks).
#
#   gpu-check.sh --pack DIR [--part-mib 60] [--without-gpu] [--binary FILE]
#       on a machine with Node, Python and PyPI: writes what a machine with a GPU and without a network needs into DIR, in
#       parts of at most so many MiB with their SHA-256. --without-gpu: no wheels, for a rehearsal.
#   gpu-check.sh --run DIR [--work DIR] [options of gpu-check.ts: --seconds 2 --no-gpu --json FILE …]
#       there, with bash and tar alone: verifies, joins and unpacks the parts, makes the checks, prints the table.
#       Exit code 1: a check failed. What cannot be checked is "not run", with the reason.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Of the wheels in gpu-check.txt only what runs the sample models. Not among it: what convolutions do without (cuFFT and
# cuDNN's recurrent layers), and TensorRT, of 2 GiB: where its libraries lie on the machine itself, they are found.
LIBRARIES=(
  libonnxruntime.so.1.31.1 libonnxruntime_providers_shared.so libonnxruntime_providers_cuda.so
  libonnxruntime_providers_tensorrt.so libonnxruntime_providers_webgpu.so
  libcudart.so.13 libcublas.so.13 libcublasLt.so.13 libcurand.so.10 libnvrtc.so.13 libnvrtc-builtins.so.13.5
  libcudnn.so.9 libcudnn_graph.so.9 libcudnn_ops.so.9 libcudnn_cnn.so.9 libcudnn_heuristic.so.9
  libcudnn_engines_precompiled.so.9 libcudnn_engines_runtime_compiled.so.9
)
# pip matches these words as they stand; older ones than the newest are meant as well.
PLATFORMS=(manylinux_2_28_x86_64 manylinux_2_27_x86_64 manylinux_2_17_x86_64 manylinux2014_x86_64)

fail() {
  echo "gpu-check.sh: $*" >&2
  exit 2
}

usage() {
  sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" | sed '$d'
}

# --- where there is a network -----------------------------------------------------------------------------------------

fetch_bun() {
  (cd "$HERE/.." && node --input-type=module -e "
    import { fetchBun } from './scripts/fetch-bun.mjs'
    console.log(await fetchBun({ platform: 'linux-x64', say: console.error }))")
}

# Libraries under the names by which others look for them.
fetch_libraries() {
  local into=$1 wheels=$2 name found
  local platforms=()
  for name in "${PLATFORMS[@]}"; do platforms+=(--platform "$name"); done
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: "${platforms[@]}" \
    --python-version 3.12 --require-hashes -r "$HERE/gpu-check.txt" -d "$wheels"
  mkdir "$wheels/all" "$into"
  for name in "$wheels"/*.whl; do
    python3 -m zipfile -e "$name" "$wheels/all"
    rm "$name"
  done
  for name in "${LIBRARIES[@]}"; do
    found=$(find "$wheels/all" -name "$name" -type f | head -n 1)
    [ -n "$found" ] || fail "Cannot pack $name: it is in none of the wheels of gpu-check.txt"
    mv "$found" "$into/${name/%.so.1.31.1/.so}"
  done
}

pack() {
  local out=$1 bun draft
  shift
  local part_mib=60 with_gpu=yes binary=
  while [ $# -gt 0 ]; do
    case $1 in
      --part-mib) part_mib=${2:-}; shift 2 ;;
      --binary) binary=${2:-}; shift 2 ;;
      --without-gpu) with_gpu=no; shift ;;
      *) fail "Cannot use \"$1\": --pack takes --part-mib, --binary and --without-gpu" ;;
    esac
  done
  if ! [[ "$part_mib" =~ ^[1-9][0-9]{0,3}$ ]]; then fail "Cannot use --part-mib \"$part_mib\": expected 1 to 9999"; fi
  if [ -n "$binary" ] && [ ! -x "$binary" ]; then fail "Cannot use --binary \"$binary\": expected a program"; fi
  [ ! -e "$out" ] || [ -z "$(ls -A "$out")" ] || fail "Cannot pack into \"$out\": it is not empty"
  mkdir -p "$out"
  draft=$(mktemp -d)
  # shellcheck disable=SC2064 # what it is now is what is to be removed
  trap "rm -rf '$draft'" EXIT
  mkdir "$draft/all" "$draft/wheels"
  bun=$(fetch_bun)
  (cd "$HERE/.." && "$bun" scripts/models.ts "$draft/all/models" >&2)
  if [ -z "$binary" ]; then
    (cd "$HERE/.." && "$bun" scripts/build.ts --target x64 >&2)
    binary=$HERE/../dist/limpet-linux-x64
  fi
  cp "$binary" "$draft/all/limpet"
  (cd "$HERE/.." && "$bun" build scripts/gpu-check.ts --target bun --outfile "$draft/all/gpu-check.js" >&2)
  if [ "$with_gpu" = yes ]; then fetch_libraries "$draft/all/lib" "$draft/wheels"; fi
  rm -rf "$draft/wheels"
  tar -C "$draft/all" -czf - . | split -b "${part_mib}M" -d -a 3 - "$out/part-"
  cp "${BASH_SOURCE[0]}" "$out/gpu-check.sh"
  (cd "$out" && sha256sum part-* >SHA256SUMS)
  echo "packed $(find "$out" -name 'part-*' | wc -l) parts, $(du -sm "$out" | cut -f 1) MiB, into $out"
}

# --- where there is a GPU ---------------------------------------------------------------------------------------------

run() {
  local from=$1 work
  shift
  work=$(pwd)/gpu-check
  if [ "${1:-}" = --work ]; then
    [ -n "${2:-}" ] || fail 'Cannot use --work: expected a folder'
    work=$2
    shift 2
  fi
  [ -f "$from/SHA256SUMS" ] || fail "Cannot run from \"$from\": there is no SHA256SUMS in it"
  (cd "$from" && sha256sum --check --strict --quiet SHA256SUMS) || fail "Cannot run from \"$from\": the parts above are not as they were packed; carry them over again"
  mkdir -p "$work"
  if ! cmp -s "$from/SHA256SUMS" "$work/SHA256SUMS"; then
    # Named as the unpacking ends: half of it is never taken for all.
    cut -c 67- "$from/SHA256SUMS" | (cd "$from" && xargs cat) | tar -xzf - -C "$work"
    cp "$from/SHA256SUMS" "$work/SHA256SUMS"
  fi
  local libraries=()
  if [ -d "$work/lib" ]; then libraries=(--libraries "$work/lib"); fi
  # The binary is a Bun as well, so that nothing else has to be there.
  BUN_BE_BUN=1 exec "$work/limpet" "$work/gpu-check.js" --binary "$work/limpet" --models "$work/models" "${libraries[@]}" "$@"
}

case ${1:-} in
  --pack) [ -n "${2:-}" ] || fail 'Cannot pack: expected a folder behind --pack'; pack "${@:2}" ;;
  --run) [ -n "${2:-}" ] || fail 'Cannot run: expected a folder behind --run'; run "${@:2}" ;;
  -h | --help) usage ;;
  *) usage >&2; exit 2 ;;
esac
