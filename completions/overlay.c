/* Writes the completions of snapctl-overlay for bash, zsh or fish, from its table of mount options.
 * Runs at build time only; is not installed. SPDX-License-Identifier: GPL-2.0-or-later */
#include "overlay_options.h"
#include "zsh.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Nobody types what only a listing has. */
static bool is_offered(const struct overlay_word *word) {
    return word->kind != WORD_LISTED;
}

static bool has_value(const struct overlay_word *word) {
    return word->argument || word->values;
}

static void print_words(const char *gap) {
    for (const struct overlay_word *word = overlay_words; word->name; word++)
        if (is_offered(word))
            printf("%s%s%s", word == overlay_words ? "" : gap, word->name, has_value(word) ? "=" : "");
}

static void print_values(const struct overlay_word *word) {
    for (size_t i = 0; word->values[i]; i++)
        printf("%s%s", i ? " " : "", word->values[i]);
}

/* A word after the last comma, or a directory after "=" or the last colon. */
static void bash(void) {
    printf("# bash completion for snapctl-overlay, made from its table of options\n"
           "_snapctl_overlay_mount_options() {\n    local before='' word=$cur\n"
           "    [[ $word != *,* ]] || { before=${word%%,*},; word=${word##*,}; }\n    case \"$word\" in\n");
    for (const struct overlay_word *word = overlay_words; word->name; word++) {
        if (word->values && is_offered(word)) {
            printf("    %s=*) mapfile -t COMPREPLY < <(compgen -P \"${before}%s=\" -W '", word->name, word->name);
            print_values(word);
            printf("' -- \"${word#*=}\") ;;\n");
        }
    }
    printf("    lowerdir=*:*) mapfile -t COMPREPLY < <(compgen -P \"$before${word%%:*}:\" -S / -d -- \"${word##*:}\") ;;\n"
           "    *dir=*) mapfile -t COMPREPLY < <(compgen -P \"$before${word%%%%=*}=\" -S / -d -- \"${word#*=}\") ;;\n"
           "    *) mapfile -t COMPREPLY < <(compgen -P \"$before\" -W '");
    print_words(" ");
    printf("' -- \"$word\") ;;\n    esac\n}\n"
           "_snapctl_overlay() {\n    local cur prev\n    COMPREPLY=()\n"
           "    if declare -F _get_comp_words_by_ref >/dev/null; then\n        _get_comp_words_by_ref -n =: cur prev\n"
           "    else\n        cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n    fi\n"
           "    if [[ $prev == -o ]]; then\n        compopt -o nospace\n        _snapctl_overlay_mount_options\n"
           "        ! declare -F __ltrim_colon_completions >/dev/null || __ltrim_colon_completions \"$cur\"\n"
           "    elif [[ $cur == -* ]]; then\n        mapfile -t COMPREPLY < <(compgen -W '-d -f -h --help -o -r -V --version' -- \"$cur\")\n"
           "    else\n        compopt -o filenames\n        mapfile -t COMPREPLY < <(compgen -d -- \"$cur\")\n    fi\n}\n"
           "complete -F _snapctl_overlay snapctl-overlay\n");
}

static void zsh_word(const struct overlay_word *word) {
    printf("\n        '%s", word->name);
    if (word->help) {
        printf("[");
        zsh_text(word->help);
        printf("]");
    }
    if (word->values) {
        printf(":value:(");
        print_values(word);
        printf(")");
    } else if (word->argument) {
        printf(":value:%s", word->kind == WORD_PATH || word->kind == WORD_LOWERS ? "_files -/" : " ");
    }
    printf("'");
}

static void zsh(void) {
    printf("#compdef snapctl-overlay\n# made from the table of options of snapctl-overlay\n"
           "_snapctl_overlay_mount_options() {\n    _values -s , 'mount option'");
    for (const struct overlay_word *word = overlay_words; word->name; word++) {
        if (!is_offered(word))
            continue;
        printf(" \\");
        zsh_word(word);
    }
    printf("\n}\n_arguments '-d[tell every request on standard error]' '-f[stay in the foreground]' '(- *)'{-h,--help}'[show the options]' \\\n"
           "    '*-o[mount options]:options:_snapctl_overlay_mount_options' '-r[refuse every change]' \\\n"
           "    '(- *)'{-V,--version}'[show the version]' '*:directory:_files -/'\n");
}

static void fish(void) {
    printf("# fish completion for snapctl-overlay, made from its table of options\n"
           "complete -c snapctl-overlay -f -a '(__fish_complete_directories)'\n"
           "complete -c snapctl-overlay -s d -d 'Tell every request on standard error'\n"
           "complete -c snapctl-overlay -s f -d 'Stay in the foreground'\n"
           "complete -c snapctl-overlay -s h -l help -d 'Show the options'\n"
           "complete -c snapctl-overlay -s r -d 'Refuse every change'\n"
           "complete -c snapctl-overlay -s V -l version -d 'Show the version'\n"
           "complete -c snapctl-overlay -s o -x -d 'Mount options' -a '(__fish_append , ");
    print_words(" ");
    printf(")'\n");
}

int main(int argc, char *argv[]) {
    static const struct { const char *name; void (*print)(void); } kinds[] = { { "bash", bash }, { "zsh", zsh }, { "fish", fish } };
    for (size_t i = 0; argc == 2 && i < ELEMENTS(kinds); i++) {
        if (strcmp(argv[1], kinds[i].name) != 0)
            continue;
        kinds[i].print();
        return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 2;
    }
    (void)fprintf(stderr, "usage: generate-overlay bash|zsh|fish\n");
    return 2;
}
