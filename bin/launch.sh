# Sourced by the commands beside it: finds or makes the project's own Python, then becomes it.
#
#   launch run|dev ARGUMENTS...     run: what a cluster needs; dev: what the tests need as well
#
# The usual way through is the first test below: two files compared by age and one line read, no
# process started, no network. Everything else is bin/bootstrap.py, which any Python can start.

launch() {
    kind=$1
    shift
    stamp=$root/.venv/.raftcache-$kind
    made_for=
    if [ "$stamp" -nt "$root/pyproject.toml" ] && [ "$stamp" -nt "$root/bin/constraints.txt" ] &&
        [ "$stamp" -nt "$root/bin/bootstrap.py" ]; then
        read -r made_for <"$stamp" || :
    fi
    # The first line of the stamp is the folder it was made in: a moved copy is made anew.
    if [ "$made_for" != "$root" ] || [ ! -x "$root/.venv/bin/python" ]; then
        case $(uname -s) in
            Linux | Darwin) ;;
            *)
                echo "$command: this runs on Linux and macOS; on Windows, use it inside WSL." >&2
                exit 69
                ;;
        esac
        python=$(find_python) || exit $?
        "$python" -I "$root/bin/bootstrap.py" "$kind" "$command" || exit $?
    fi
    # -I: neither the folder you stand in nor your PYTHONPATH can put another module in our way.
    # -S and start.py: nor does a Ctrl-C meet half an import, and show a traceback.
    exec "$root/.venv/bin/python" -I -S "$root/bin/start.py" "$@"
}

# Print the first Python that is new enough. Each candidate is run, not just found: a pyenv shim
# can be on the PATH and still start nothing.
find_python() {
    seen=
    for candidate in ${RAFTCACHE_PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
        version=$("$candidate" -I -c 'import sys; print("%d.%d.%d" % sys.version_info[:3]); sys.exit(sys.version_info < (3, 11))' 2>/dev/null)
        if [ $? -eq 0 ] && [ -n "$version" ]; then
            echo "$candidate"
            return 0
        fi
        [ -z "$version" ] || seen="${seen:+$seen, }$candidate is $version"
    done
    if command -v pyenv >/dev/null 2>&1; then
        cure="pyenv install 3.12 && pyenv global 3.12"
    elif command -v brew >/dev/null 2>&1; then
        cure="brew install python@3.12"
    elif command -v apt-get >/dev/null 2>&1; then
        cure="sudo apt-get install python3 python3-venv"
    elif command -v dnf >/dev/null 2>&1; then
        cure="sudo dnf install python3.12"
    elif command -v uv >/dev/null 2>&1; then
        cure="uv python install 3.12"
    else
        cure="install it from python.org"
    fi
    echo "$command: this needs Python 3.11 or newer (${seen:-no Python found on the PATH})." >&2
    echo "  Get one:  $cure" >&2
    echo "  or name one you have:  RAFTCACHE_PYTHON=/path/to/python3.12 $command" >&2
    return 69
}
