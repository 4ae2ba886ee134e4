#!/bin/sh
# install.sh LIST: install the packages of a list into /app/venv, and remove what is not needed at run time.
set -eu
packages=/app/venv/lib/python3.11/site-packages
before=$(mktemp)

# Hashed and complete: pip resolves nothing.
/build/tools/bin/pip --python /app/venv/bin/python install --progress-bar off --no-cache-dir --no-compile --no-deps \
  --only-binary :all: --require-hashes -r "$1"

# A third is not needed at run time: debugging symbols, types, sources of compiled code, tests, tools, a thousand locales.
# (psycopg's libraries were patched after linking, and stay as they are.)
cd "$packages"
find . -cnewer "$before" -name '*.so' ! -path './psycopg_binary*' -exec strip --strip-unneeded {} +
find . \( -name '*.pyi' -o -name '*.[ch]' -o -name '*.proto' \) -delete
find . -path './babel/locale-data/*.dat' | grep -vE '/(root|en|en_001|en_HK|zh|zh_Han[st](_HK)?)[.]dat$' | xargs -r rm
rm -rf tests */tests google/protobuf/testdata google/api google/type google/cloud google/longrunning google/logging google/gapic \
  kafka/benchmarks kafka/cli zstandard/_cffi*.so zstandard/backend_cffi.py

# Compile the bytecode here, since the root file system will be read-only.
find "$packages" -cnewer "$before" -name '*.py' \
  | /app/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash -i -
