#!/usr/bin/env bash
# What needs a GPU, part by part, each in under nine minutes on one H200 and with one table at its end.
#   tests/gpu/run.sh --part build              C++ (build folder) and Python package (installed by pip) for this machine's GPU
#   tests/gpu/run.sh --part ops|models|python  correctness: op cases, whole models, Python tests on the device
#   tests/gpu/run.sh --part towers             the media towers against transformers, where it is installed
#   tests/gpu/run.sh --part media              times the media towers, beside llama.cpp's where G4CPP_PEER names the folder
#                                              of a package llama_cpp built with CUDA
#   tests/gpu/run.sh --part memcheck|racecheck compute-sanitizer on the op cases; --op NAME: on one op's
#   tests/gpu/run.sh --part bench --model e2b --format q4_0 [--prefill 8192] [--decode 128] [--depth 0]
#                                              makes a file of these shapes, times it, with --vs llama.cpp beside
#                                              llama-cpp-python built with CUDA, and deletes it
#   tests/gpu/run.sh --part step --model e2b --format q4_0 [--tokens 1]   where a step's time goes
# Options: --build DIR (build/cuda), --python PROGRAM (python3), --folder DIR (for files; /dev/shm), and for bench and step
# --shapes SCRIPT: writes a file of a model's shapes with random weights, called as SCRIPT MODEL FORMAT OUT. Exits with 1
# when anything fails.
set -euo pipefail
cd "$(dirname "$0")/../.."

part= model=e2b format=q4_0 prefill=8192 decode=128 depth=0 tokens=1 op= vs=
build=build/cuda python=python3 shapes= folder=/dev/shm
while [ $# -gt 0 ]; do
  case $1 in
    --part | --model | --format | --prefill | --decode | --depth | --tokens | --op | --vs | --build | --python | --shapes | --folder)
      [ $# -ge 2 ] || { echo "run.sh: $1 needs a value" >&2; exit 2; }
      declare "${1#--}=$2"
      shift 2
      ;;
    *)
      echo "run.sh: unknown option $1; the head of this file lists them" >&2
      exit 2
      ;;
  esac
done

# Runs quietly; prints a row, and the end of what was said where it failed.
failed=0
row() {
  local name=$1 began=$SECONDS log
  shift
  log=$(mktemp)
  if "$@" >"$log" 2>&1; then
    printf '%-28s ok     %4d s  %s\n' "$name" $((SECONDS - began)) "$(tail -n 1 "$log")"
  else
    failed=1
    printf '%-28s FAILED %4d s\n' "$name" $((SECONDS - began))
    tail -n 20 "$log"
  fi
  rm -f "$log"
}

make_file() {
  [ -n "$shapes" ] || { echo "run.sh: --part $part needs --shapes SCRIPT" >&2; exit 2; }
  file=$folder/g4cpp-$model-$format.gguf
  trap 'rm -f "$file"' EXIT
  "$python" "$shapes" "$model" "$format" "$file" >/dev/null
}

sanitized() {  # a tool's own exit code tells what it found
  compute-sanitizer --tool "$1" --error-exitcode 1 --print-limit 5 "$build/tests/ops/test_ops" --backend cuda ${op:+"$op"}
}

case $part in
  build)
    row "C++" bash -c "cmake --preset cuda -B '$build' -DG4CPP_BENCH=ON && cmake --build '$build' -j"
    row "Python package" env G4CPP_CUDA=ON "$python" -m pip install -q '.[test]'
    ;;
  ops) row "op cases" "$build/tests/ops/test_ops" --backend cuda ${op:+"$op"} ;;
  models) row "models" "$build/tests/model/test_model_backends" ;;
  python)
    row "Python" "$python" -m pytest -q -p no:cacheprovider tests/python/test_cuda.py
    row "media" "$python" -m pytest -q -p no:cacheprovider tests/python/test_cuda_media.py
    ;;
  towers)
    export G4CPP_TEST_DEVICE=cuda
    row "images" "$python" -m pytest -q -p no:cacheprovider -m parity tests/python/test_vision_parity.py
    row "sound" "$python" -m pytest -q -p no:cacheprovider -m parity tests/python/test_audio_tower.py
    row "prompts" "$python" -m pytest -q -p no:cacheprovider -m parity tests/python/test_media_parity.py
    ;;
  media) "$python" tests/gpu/media.py --folder "$folder" --times ;;
  memcheck | racecheck) row "$part" sanitized "$part" ;;
  bench)
    make_file
    "$python" -m g4cpp bench -m "$file" --device cuda --prefill "$prefill" --decode "$decode" --depth "$depth" ${vs:+--vs "$vs"}
    ;;
  step)
    make_file
    "$build/bench/bench_step" "$file" --device cuda --tokens "$tokens"
    ;;
  *)
    echo "run.sh: --part build, ops, models, python, towers, media, memcheck, racecheck, bench or step expected, got '$part'" >&2
    exit 2
    ;;
esac
exit $failed
