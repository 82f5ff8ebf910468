# Makes the SDK tests' virtual environment, or brings it up to date. Sourced with $here set.
if ! cmp -s "$here/requirements.txt" "$here/.venv/requirements.installed"; then
    python3 -m venv --clear "$here/.venv"
    "$here/.venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$here/.venv/requirements.installed"
fi
