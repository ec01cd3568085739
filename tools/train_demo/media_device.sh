#!/bin/bash
# One call on the GPU machine: bash tools/train_demo/media_device.sh CORPUS OUT media.py-options...
# CORPUS/whl may hold wheels that are missing there (gguf, a newer transformers).
set -uo pipefail
corpus=$1 out=$2
shift 2
here=$(dirname "$0")
python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target /tmp/site "$corpus"/whl/*.whl
PYTHONPATH=/tmp/site python3 -c "import transformers.models.gemma4.modeling_gemma4" || rm -rf /tmp/site/transformers*
mount -o remount,size=24G /dev/shm 2>/dev/null # batches of pictures travel between processes there
export PYTHONPATH=/tmp/site:$here/../../python PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 # of each of the many workers
mkdir -p "$out"
python3 "$here/media.py" --corpus "$corpus" --text "$here/../../python/g4cpp/data/demo-q8_0.gguf" --out "$out" "$@" 2>&1 | tee "$out/output.txt"
