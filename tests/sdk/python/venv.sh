# Makes the SDK tests' virtual environment, or brings it up to date. Sourced with $here set; $REQUIREMENTS names another list.
requirements=${REQUIREMENTS:-requirements.txt}
# What the longer list installed holds the shorter one.
installed=$here/.venv/installed.$requirements
for longer in "$installed" "$here/.venv/installed.requirements-all.txt"; do
    cat "$here/requirements.txt" "$here/$requirements" 2>/dev/null | cmp -s - "$longer" && enough=yes
done
if [ "${enough:-}" != yes ]; then
    python3 -m venv "$here/.venv"
    "$here/.venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/$requirements"
    cat "$here/requirements.txt" "$here/$requirements" >"$installed"
fi
