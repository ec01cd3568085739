#!/bin/bash
# One call on the GPU machine: bash tools/train_demo/device.sh CORPUS OUT train.py-options...
# Prepares what is missing in /tmp/demo, trains, and leaves weights (in parts), tokenizer and figures under OUT.
set -uo pipefail
corpus=$1 out=$2
shift 2
here=$(dirname "$0") work=/tmp/demo
mkdir -p $work "$out"
export PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=true
[ -f $work/tok/tokenizer.json ] || python3 "$here/vocab.py" "$corpus" $work/tok
python3 "$here/train.py" --corpus "$corpus" --tokenizer $work/tok --work $work "$@" 2>&1 | tee "$out/output.txt"
split -b 15m $work/model/model.safetensors "$out/model.safetensors."
tar -C $work -czf "$out/rest.tgz" --exclude=model/model.safetensors tok model log.json $(cd $work && ls metrics.json 2>/dev/null)
