#!/usr/bin/env bash
# The whole way once: synthetic cells -> plan -> training -> held-out predictions -> scores -> report.
#   demo.sh FOLDER      everything is written below FOLDER; running it again continues where it stopped
set -euo pipefail
folder=${1:-demo}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
export dd_raw="$folder/raw" dd_preprocessed="$folder/preprocessed" dd_results="$folder/results"
raw="$dd_raw/Dataset999_SynthcellMini"
model="$dd_results/Dataset999_SynthcellMini/ddTrainer__ddPlans__3d_fullres"

say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }

started=$SECONDS
[ -e "$raw" ] || say dd_convert_synthcell -d 999 --name SynthcellMini --mini --variant regular
say dd_plan_and_preprocess -d 999 --preset fast
say dd_train 999 3d_fullres 0
say dd_predict -d 999 -f 0 -i "$raw/imagesTs" -o "$folder/test/dd_nnunet" --continue_prediction
for method in kmeans denoise-kmeans objects; do
  say dd_baseline -d 999 --method $method -f 0
  say dd_baseline -d 999 --method $method -i "$raw/imagesTs" -o "$folder/test/$method"
done
say dd_evaluate_folder "$folder"/test/{kmeans,denoise-kmeans,objects,dd_nnunet} "$raw/labelsTs" -d 999 --parts 2 4 8
say dd_report -d 999 -f 0 -o "$folder/report.html"
python "$(dirname "$0")/check_demo.py" "$folder"
printf '\n%d minutes %d seconds. Open %s\n' $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60)) "$folder/report.html"
