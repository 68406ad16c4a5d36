# What zsh proposes at the end of a line: proposals.zsh COMPLETIONS LINE prints a line PROPOSED:WORD for each.
# Completion works in an interactive shell only, so there is one in a terminal of its own.
zmodload zsh/zpty
zpty shell zsh -f -i

# Whatever is proposed passes by compadd, which is made to tell; calls that only fill arrays are left alone.
zpty -w shell "fpath=(${(q)1} \$fpath); autoload -Uz compinit; compinit -D -u
compadd() {
    if (( \${@[(I)-[ADO]*]} )); then
        builtin compadd \"\$@\"
    else
        local -a found
        builtin compadd -A found \"\$@\"
        print -rl -- PROPOSED:\$^found
        builtin compadd \"\$@\"
    fi
}
PROMPT='PREPA''RED '"
# The prompt shows that the shell reads keys by itself: a tab that comes earlier is none.
zpty -r -m shell answer '*PREPARED *'

# A tab, a cleared line, and a word that shows that both are done.
zpty -w -n shell "$2"$'\t\x15'
zpty -w shell "print FINI''SHED"
while zpty -r shell answer; do
    print -r -- ${answer//$'\r'/$'\n'}
    [[ $answer == *FINISHED* ]] && break
done
