#!/bin/sh
# Fetch the packages of packages.txt, without what they depend on: the web pages of these tests take the built files.
set -eu
cd "$(dirname "$0")"
rm -rf packages && mkdir packages
while read -r package; do
    name=${package%@*}
    mkdir -p "packages/$name"
    archive=$(npm pack --silent --pack-destination packages "$package")
    tar -xzf "packages/$archive" -C "packages/$name" --strip-components=1
    rm "packages/$archive"
done < packages.txt
