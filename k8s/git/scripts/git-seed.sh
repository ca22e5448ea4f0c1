#!/bin/sh
# Makes the repositories that are missing and brings each one's content up to date with its seed, whatever is there already.
# A branch moves on only while its head is the last seed: commits of people are never left behind. In that case the new
# content goes to the branch `seed`, to be merged by hand.
# In: REPOSITORIES, the folder of the bare repositories; SEEDS, a folder for each repository with the files `branch`, `paths`
# (lines "<file here> <path in the repository>") and those it names; HOOKS, the folder of the hooks.
set -eu
export GIT_AUTHOR_NAME=gourmetgram GIT_AUTHOR_EMAIL=seed@gourmetgram.invalid
export GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL
work=$(mktemp -d)

value_of() { git rev-parse --quiet --verify "$1" || true; }

# Prints the id of the tree that holds the files of a seed.
write_tree() {
  rm -rf "$work/tree" "$work/index"
  mkdir "$work/tree"
  while read -r file path; do
    mkdir -p "$work/tree/$(dirname "$path")"
    cp "$1/$file" "$work/tree/$path"
  done <"$1/paths"
  (
    export GIT_WORK_TREE="$work/tree" GIT_INDEX_FILE="$work/index"
    cd "$work/tree"
    git add --all --force
    git write-tree
  )
}

# The branch for a seed that may not move the real one: `seed`, unless somebody has commits there too.
side_branch() {
  head=$(value_of refs/heads/seed)
  if [ -z "$head" ] || git merge-base --is-ancestor "$head" "$1"; then
    echo seed
  else
    echo "seed-$(git rev-parse --short "$1")"
  fi
}

seed() {
  name=$1 folder=$2
  branch=$(cat "$folder/branch")
  repository=$REPOSITORIES/$name.git
  if [ ! -d "$repository" ]; then
    # Under another name first: a half-made one would look finished to the next start.
    rm -rf "$repository.new"
    git init --quiet --bare --initial-branch="$branch" "$repository.new"
    mv "$repository.new" "$repository"
  fi
  export GIT_DIR="$repository"
  git config core.hooksPath "$HOOKS"
  git config transfer.hideRefs refs/seeds
  git config receive.fsckObjects true

  tree=$(write_tree "$folder")
  last=$(value_of "refs/seeds/$branch")
  head=$(value_of "refs/heads/$branch")
  if [ -n "$last" ] && [ "$(git rev-parse "$last^{tree}")" = "$tree" ]; then
    echo "$name: seed unchanged"
    return
  fi
  if [ -n "$last" ]; then
    commit=$(git commit-tree "$tree" -p "$last" -m "New seed of $name")
  else
    commit=$(git commit-tree "$tree" -m "Seed of $name")
  fi
  target=$branch
  if [ "$head" != "$last" ]; then target=$(side_branch "$commit"); fi
  # Both or none: a start that dies in between must not take its own seed for somebody's commit.
  git update-ref --stdin <<REFS
update refs/heads/$target $commit $(value_of "refs/heads/$target")
update refs/seeds/$branch $commit $last
REFS
  echo "$name: seed $(git rev-parse --short "$commit") in branch $target"
}

for folder in "$SEEDS"/*/; do
  seed "$(basename "$folder")" "${folder%/}"
done
rm -rf "$work"
