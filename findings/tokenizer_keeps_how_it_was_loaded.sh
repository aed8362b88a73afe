#!/usr/bin/env bash
# transformers 5.24.0, tokenizers 0.23.3: a tokenizer that is loaded from a folder and saved again
# writes how it was loaded into tokenizer_config.json (is_local, local_files_only), beside what it
# is - and local_files_only follows HF_HUB_OFFLINE in the environment.
#
# Guess: a tokenizer that is loaded and saved without a change is saved to the same bytes, so that
# the hash of its files names it.
# Seen: the copy has two keys more than the original, and of two copies of one original, made with
# HF_HUB_OFFLINE=1 and without, the files differ; tokenizer.json and the ids are the same. What
# names tokenizers by their files - caches of encoded rows, artifacts - takes equal ones for
# different, by the machine that saved them. The keys change no encoding: leave them out.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  transformers==5.24.0 tokenizers==0.23.3
cat > "$folder/make.py" <<'PY'
import sys

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

core = Tokenizer(models.WordLevel({"[UNK]": 0, "red": 1, "apples": 2}, unk_token="[UNK]"))
core.pre_tokenizer = pre_tokenizers.Whitespace()
PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]").save_pretrained(sys.argv[1])
PY
cat > "$folder/save_again.py" <<'PY'
import sys

from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
assert tokenizer("red apples")["input_ids"] == [1, 2]
tokenizer.save_pretrained(sys.argv[2])
PY
run() { "$folder/venv/bin/python" "$@" 2> "$folder/log" || { cat "$folder/log"; return 1; }; }
run "$folder/make.py" "$folder/made"
HF_HUB_OFFLINE=0 run "$folder/save_again.py" "$folder/made" "$folder/online"
HF_HUB_OFFLINE=1 run "$folder/save_again.py" "$folder/made" "$folder/offline"
python3 - "$folder" <<'PY'
import json
import sys
from pathlib import Path

root = Path(sys.argv[1])
names = ("made", "online", "offline")
made, online, offline = (
    json.loads((root / name / "tokenizer_config.json").read_text()) for name in names
)
print("in the copies alone:", {key: online[key] for key in sorted(online.keys() - made.keys())})
print("of the second:", {key: offline[key] for key in sorted(offline.keys() - made.keys())})
assert len({(root / name / "tokenizer.json").read_text() for name in names}) == 1
assert online == {**made, "is_local": True, "local_files_only": False}, online
assert offline == {**made, "is_local": True, "local_files_only": True}, offline
PY
echo "as described"
