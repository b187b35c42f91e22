# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_cronkeep_global_optspecs
    string join \n format= user= tz= compat= strict log-format= log-level= passthrough on-stop= stop-grace= state-dir= control= store= store-key= namespace= recover= when-store-down= local shadow amqp= events= publish-users= worker-key= grace= catch-up= overlap= max-instances= max-jobs= timeout= clean-env env-allow= permissive cron-d-names= always-shell mail= log-to= subreaper allow-user-hooks h/help V/version
end

function __fish_cronkeep_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_cronkeep_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_cronkeep_using_subcommand
    set -l cmd (__fish_cronkeep_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c cronkeep -n "__fish_cronkeep_needs_command" -l format -d 'The crontabs\' format: with or without a user column' -r -f -a "auto\t'Judged by the path'
system\t'With a user column, as /etc/crontab'
user\t'Without, as crontab -l shows it'"
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l user -d 'Whose crontab a named file without a user column is [default: the caller\'s]' -r
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l tz -d 'The default time zone, an IANA name or a POSIX TZ string [default: TZ, then /etc/localtime]' -r
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l compat -d 'Follow another program\'s habits where they contradict ours' -r -f -a "supercronic\t'Six fields have the year last'"
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l log-format -d 'How the log is written' -r -f -a "text\t'For people'
json\t'One object a line'
logfmt\t'key=value pairs'"
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l log-level -d 'The least level that is logged' -r -f -a "error\t'What did not happen that should have'
warn\t'And what somebody should look at'
info\t'And what happens as a rule'
debug\t'And why'
trace\t'And every step'"
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l on-stop -d 'What happens to running jobs when the daemon stops [default: end as PID 1, else leave]' -r -f -a "end\t'Tell them to end, kill those that do not'
leave\t'Let them run on'"
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l stop-grace -d 'How long jobs may take to end before they are killed, such as 8s or 1m30s' -r
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l state-dir -d 'Where state is kept [default: /var/lib/cronkeep for root, else `$XDG_STATE_HOME/cronkeep`]' -r -F
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l control -d 'The control socket; crontab\'s is beside it (of x.sock x.crontab.sock) [default: /run/cronkeep/control.sock for root, else in `$XDG_RUNTIME_DIR/cronkeep`]' -r -F
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l store -d 'Where runs, pauses and the schedule are kept: sqlite:PATH, redis://HOST, rediss://HOST, unix://SOCKET, redis+sentinel://HOST,HOST/MASTER, memory:' -r
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l store-key -d 'A file with the key that signs kept crontabs, pauses and messages; unsigned ones are refused' -r -F
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l namespace -d 'Whose schedule it is, in a store that several share: replicas of one service say the same' -r
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l recover -d 'What is done at the start where the crontabs differ from those that are kept' -r -f -a "auto\t'In a new container: what was edited in an earlier one is merged in'
merge\t'Always merged, also into a file on a mount of its own'
always\t'What is kept replaces the file'
never\t'The file is left as it is; what is kept stays, too, until the file is edited'"
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l when-store-down -d 'What is done with what is due while a shared store is silent' -r -f -a "auto\t'Started if no other replica was alive at the last contact, else held'
run\t'Started, though other replicas may start it, too'
hold\t'Held within its grace, then missed'"
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l amqp -d 'The message broker: amqp://HOST or amqps://HOST; several, with commas between them, are tried in turn' -r
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l events -d 'Publish what happens to jobs, too, at this exchange' -r
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l publish-users -d 'Users, beside root and the daemon\'s own, whose entries may publish through the daemon, separated by commas' -r
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l worker-key -d 'A file with the key that signs what is sent to workers, who have the same; none: it is not signed' -r -F
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l grace -d 'How late a run may start after a hold or a queue [default: 60s]' -r
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l catch-up -d 'Which of the instants that passed while nothing could start are started later [default: none]' -r -f -a "none\t'As cron'
latest\t'The latest of them'
all\t'One after the other'"
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l overlap -d 'What a fire does while an earlier run of its job is alive [default: allow]' -r -f -a "allow\t'Start another run'
skip\t'Do not start'
queue\t'Start one when the earlier has ended'
replace\t'End the earlier run, then start'"
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l max-instances -d 'How many runs of one job may be alive at once [default: 3000]' -r
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l max-jobs -d 'How many runs may be alive at once in all; further ones wait [default: no limit]' -r
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l timeout -d 'How long an attempt may take before it is ended [default: for ever]' -r
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l env-allow -d 'Names of the daemon\'s environment that a clean one passes on, too, separated by commas' -r
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l cron-d-names -d 'Whose rule for file names holds in /etc/cron.d [default: debian where Debian\'s cron would be, else cronie]' -r -f -a "debian\t'Letters, digits, underscores and hyphens only'
cronie\t'All but hidden, backup and package manager\'s files'"
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l mail -d 'Mail output: off, or the command that takes a mail [default: sendmail, if there is one]' -r
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l log-to -d 'Where the log goes [default: stderr; syslog in the background]' -r -f -a "stderr\t'Standard error; output of jobs to standard output'
syslog\t'The system\'s log'"
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l strict -d 'Refuse a crontab with an error in any line; what was in force stays in force'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l passthrough -d 'Write the jobs\' output as it is: no prefix, no escaping'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l local -d 'Start everything here, whatever other replicas start'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l shadow -d 'Run nothing: compare the jobs with those that the Python service keeps in the store'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l clean-env -d 'Give every job the environment that cron gives it: nothing of the daemon\'s but LANG, LC_* and TZ'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l permissive -d 'Take crontabs below /etc and in the spools whatever their owner, mode and links'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l always-shell -d 'Start every command through its shell, plain ones too'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l subreaper -d 'Adopt and reap the orphans of jobs, as PID 1 always does'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -l allow-user-hooks -d 'Let every user\'s table use ping and on-failure'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -s V -l version -d 'Print version'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -a "check" -d 'Find mistakes in crontabs'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -a "next" -d 'Show when entries fire next'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -a "explain" -d 'Say in words what an entry does'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -a "list" -d 'List the jobs in force: when they run next, how they went last'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -a "status" -d 'Show what the daemon is at'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -a "run" -d 'Run a job now, whatever its schedule says'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -a "stop" -d 'End a run, as its time-out would'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -a "pause" -d 'Start no run of a job until it is resumed'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -a "resume" -d 'End a job\'s pause'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -a "reload" -d 'Have the daemon read its crontabs now'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -a "health" -d 'Say whether schedules are kept'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -a "history" -d 'Show what was run, and what was not and why'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -a "logs" -d 'Show what a job or a run printed'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -a "publish" -d 'Send a message to RabbitMQ, and see that it arrives'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -a "outbox" -d 'List what waits for the broker, or drop it'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -a "worker" -d 'Carry out what other daemons send to a queue'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -a "snapshot" -d 'Show, compare or forget the crontabs that the store holds'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -a "crontab" -d 'Maintain the crontabs of users'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -a "completions" -d 'Print a shell\'s completion script'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -a "man" -d 'Print the manual page'
complete -c cronkeep -n "__fish_cronkeep_needs_command" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand check" -l format -d 'The crontabs\' format: with or without a user column' -r -f -a "auto\t'Judged by the path'
system\t'With a user column, as /etc/crontab'
user\t'Without, as crontab -l shows it'"
complete -c cronkeep -n "__fish_cronkeep_using_subcommand check" -l user -d 'Whose crontab a named file without a user column is [default: the caller\'s]' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand check" -l tz -d 'The default time zone, an IANA name or a POSIX TZ string [default: TZ, then /etc/localtime]' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand check" -l compat -d 'Follow another program\'s habits where they contradict ours' -r -f -a "supercronic\t'Six fields have the year last'"
complete -c cronkeep -n "__fish_cronkeep_using_subcommand check" -l strict -d 'Let warnings fail, too'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand check" -l json -d 'One JSON object per file: every line as it was read, and the faults'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand check" -l sarif -d 'The faults as one SARIF log, for code hosts and editors'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand next" -l expr -d 'A schedule, such as \'*/5 * * * *\' or \'@daily\'; may be given several times' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand next" -l from -d 'Where to begin, inclusive: RFC 3339, a date or time in the zone, or now [default: now]' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand next" -l until -d 'Where to end, exclusive: as --from' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand next" -l count -d 'How many fires in all [default: 10; with --until no limit]' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand next" -l format -d 'The crontabs\' format: with or without a user column' -r -f -a "auto\t'Judged by the path'
system\t'With a user column, as /etc/crontab'
user\t'Without, as crontab -l shows it'"
complete -c cronkeep -n "__fish_cronkeep_using_subcommand next" -l user -d 'Whose crontab a named file without a user column is [default: the caller\'s]' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand next" -l tz -d 'The default time zone, an IANA name or a POSIX TZ string [default: TZ, then /etc/localtime]' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand next" -l compat -d 'Follow another program\'s habits where they contradict ours' -r -f -a "supercronic\t'Six fields have the year last'"
complete -c cronkeep -n "__fish_cronkeep_using_subcommand next" -l batch -d 'Answer each JSON line of FILE (- for standard input) with one JSON line' -r -F
complete -c cronkeep -n "__fish_cronkeep_using_subcommand next" -l json -d 'One JSON object per fire'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand next" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand explain" -l format -d 'The crontabs\' format: with or without a user column' -r -f -a "auto\t'Judged by the path'
system\t'With a user column, as /etc/crontab'
user\t'Without, as crontab -l shows it'"
complete -c cronkeep -n "__fish_cronkeep_using_subcommand explain" -l user -d 'Whose crontab a named file without a user column is [default: the caller\'s]' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand explain" -l tz -d 'The default time zone, an IANA name or a POSIX TZ string [default: TZ, then /etc/localtime]' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand explain" -l compat -d 'Follow another program\'s habits where they contradict ours' -r -f -a "supercronic\t'Six fields have the year last'"
complete -c cronkeep -n "__fish_cronkeep_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand list" -l control -d 'The daemon\'s control socket [default: /run/cronkeep/control.sock for root, else the caller\'s own]' -r -F
complete -c cronkeep -n "__fish_cronkeep_using_subcommand list" -l json -d 'One JSON object per job'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand status" -l control -d 'The daemon\'s control socket [default: /run/cronkeep/control.sock for root, else the caller\'s own]' -r -F
complete -c cronkeep -n "__fish_cronkeep_using_subcommand status" -l json -d 'One JSON object'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand run" -l control -d 'The daemon\'s control socket [default: /run/cronkeep/control.sock for root, else the caller\'s own]' -r -F
complete -c cronkeep -n "__fish_cronkeep_using_subcommand run" -l wait -d 'Wait until it has ended, and exit with its code'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand stop" -l control -d 'The daemon\'s control socket [default: /run/cronkeep/control.sock for root, else the caller\'s own]' -r -F
complete -c cronkeep -n "__fish_cronkeep_using_subcommand stop" -s h -l help -d 'Print help'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand pause" -l control -d 'The daemon\'s control socket [default: /run/cronkeep/control.sock for root, else the caller\'s own]' -r -F
complete -c cronkeep -n "__fish_cronkeep_using_subcommand pause" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand resume" -l control -d 'The daemon\'s control socket [default: /run/cronkeep/control.sock for root, else the caller\'s own]' -r -F
complete -c cronkeep -n "__fish_cronkeep_using_subcommand resume" -s h -l help -d 'Print help'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand reload" -l control -d 'The daemon\'s control socket [default: /run/cronkeep/control.sock for root, else the caller\'s own]' -r -F
complete -c cronkeep -n "__fish_cronkeep_using_subcommand reload" -s h -l help -d 'Print help'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand health" -l control -d 'The daemon\'s control socket [default: /run/cronkeep/control.sock for root, else the caller\'s own]' -r -F
complete -c cronkeep -n "__fish_cronkeep_using_subcommand health" -l json -d 'One JSON object'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand health" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand history" -l job -d 'The same' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand history" -l outcome -d 'Only what ended like this; may be given several times' -r -f -a "succeeded\t'Its exit code counts as success'
failed\t'It exited with another code'
killed\t'A signal ended it'
timed-out\t'It took longer than its timeout'
could-not-start\t'No process came to be'
skipped\t'The daemon chose not to start it'
missed\t'It could not start in time'
lost\t'Nobody saw its end'"
complete -c cronkeep -n "__fish_cronkeep_using_subcommand history" -l since -d 'Only what arrived, or was due and not started, at or after: RFC 3339, a date or time in the default zone, or now' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand history" -l until -d 'Only what arrived, or was due and not started, before: as --since' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand history" -l limit -d 'How many at most' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand history" -l cursor -d 'Go on where an earlier answer ended' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand history" -l state-dir -d 'Where state is kept [default: /var/lib/cronkeep for root, else `$XDG_STATE_HOME/cronkeep`]' -r -F
complete -c cronkeep -n "__fish_cronkeep_using_subcommand history" -l store -d 'The store, as the daemon was told [default: cronkeep.db in the state directory]' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand history" -l namespace -d 'Whose schedule it is, as the daemon was told' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand history" -l json -d 'One JSON object per run'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand history" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand logs" -l control -d 'The daemon\'s control socket [default: /run/cronkeep/control.sock for root, else the caller\'s own]' -r -F
complete -c cronkeep -n "__fish_cronkeep_using_subcommand logs" -l state-dir -d 'Where state is kept [default: /var/lib/cronkeep for root, else `$XDG_STATE_HOME/cronkeep`]' -r -F
complete -c cronkeep -n "__fish_cronkeep_using_subcommand logs" -l store -d 'The store, as the daemon was told [default: cronkeep.db in the state directory]' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand logs" -l namespace -d 'Whose schedule it is, as the daemon was told' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand logs" -s f -l follow -d 'Go on with what is printed from now on; needs the daemon'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand logs" -l json -d 'One JSON object per line'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand logs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand publish" -l celery -d 'Send a task for a Celery worker: BODY is a JSON array, its arguments, or an object, its keyword arguments' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand publish" -l property -d 'Set a property of the message, such as priority=5, expires=1h or header.NAME=VALUE; may be given several times' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand publish" -l amqp -d 'This broker, and no daemon: amqp://HOST or amqps://HOST; several, with commas between them, are tried in turn' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand publish" -l control -d 'The daemon\'s control socket [default: /run/cronkeep/control.sock for root, else the caller\'s own]' -r -F
complete -c cronkeep -n "__fish_cronkeep_using_subcommand publish" -l json -d 'Send a CloudEvent, in binary mode: BODY is its data, or what the fire is about'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand publish" -l wait -d 'Wait for the task\'s result, and print it'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand publish" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand outbox" -l job -d 'Only those of this job: a name, an id, or the first of its digits' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand outbox" -l control -d 'The daemon\'s control socket [default: /run/cronkeep/control.sock for root, else the caller\'s own]' -r -F
complete -c cronkeep -n "__fish_cronkeep_using_subcommand outbox" -l state-dir -d 'Where state is kept [default: /var/lib/cronkeep for root, else `$XDG_STATE_HOME/cronkeep`]' -r -F
complete -c cronkeep -n "__fish_cronkeep_using_subcommand outbox" -l store -d 'The store, as the daemon was told [default: cronkeep.db in the state directory]' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand outbox" -l namespace -d 'Whose schedule it is, as the daemon was told' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand outbox" -l all -d 'drop: all that wait, or all of one job'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand outbox" -l json -d 'list: one JSON object per message; drop: one object of what was dropped'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand outbox" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand worker" -l queue -d 'The queue to read, which exists: what an entry names as executor=worker:NAME' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand worker" -l amqp -d 'The message broker: amqp://HOST or amqps://HOST; several, with commas between them, are tried in turn' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand worker" -l key -d 'A file with the key that orders are signed with, as the daemon\'s --worker-key' -r -F
complete -c cronkeep -n "__fish_cronkeep_using_subcommand worker" -l users -d 'Users to run commands as, separated by commas [default: its own user alone]' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand worker" -l env-allow -d 'Names of the worker\'s environment that commands see, too, separated by commas' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand worker" -l prefetch -d 'How many commands run at once, and how many orders are fetched [default: the number of processors]' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand worker" -l timeout -d 'How long a command may take, whatever its entry says [default: as long as that]' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand worker" -l stop-grace -d 'How long commands may go on when the worker is told to stop, before they are ended' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand worker" -l state-dir -d 'Where it is kept which orders were taken [default: /var/lib/cronkeep for root, else `$XDG_STATE_HOME/cronkeep`]' -r -F
complete -c cronkeep -n "__fish_cronkeep_using_subcommand worker" -l control -d 'Where it is asked for its `health` [default: as the first process of a container where a daemon is, else nowhere]' -r -F
complete -c cronkeep -n "__fish_cronkeep_using_subcommand worker" -l store -d 'A Redis where workers of several hosts keep which orders were taken: redis://HOST, rediss://HOST, unix://SOCKET, redis+sentinel://HOST,HOST/MASTER' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand worker" -l namespace -d 'Whose orders those are, in that Redis: workers of one queue say the same' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand worker" -l log-format -d 'How the log is written' -r -f -a "text\t'For people'
json\t'One object a line'
logfmt\t'key=value pairs'"
complete -c cronkeep -n "__fish_cronkeep_using_subcommand worker" -l log-level -d 'The least level that is logged' -r -f -a "error\t'What did not happen that should have'
warn\t'And what somebody should look at'
info\t'And what happens as a rule'
debug\t'And why'
trace\t'And every step'"
complete -c cronkeep -n "__fish_cronkeep_using_subcommand worker" -l tz -d 'The zone of times in the log [default: TZ, then /etc/localtime]' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand worker" -l insecure -d 'Carry out what anybody sends who may publish to the queue'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand worker" -l always-shell -d 'Start every command through its shell, plain ones too'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand worker" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand snapshot" -l state-dir -d 'Where state is kept [default: /var/lib/cronkeep for root, else `$XDG_STATE_HOME/cronkeep`]' -r -F
complete -c cronkeep -n "__fish_cronkeep_using_subcommand snapshot" -l store -d 'The store, as the daemon was told [default: cronkeep.db in the state directory]' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand snapshot" -l namespace -d 'Whose schedule it is, as the daemon was told' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand snapshot" -l store-key -d 'A file with the key that signs what is kept: what is not signed with it is refused, but can be forgotten' -r -F
complete -c cronkeep -n "__fish_cronkeep_using_subcommand snapshot" -l json -d 'One JSON object per crontab'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand snapshot" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand crontab" -s u -d 'Whose table [default: the caller\'s]' -r
complete -c cronkeep -n "__fish_cronkeep_using_subcommand crontab" -s l -d 'Print the table'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand crontab" -s e -d 'Edit the table with $VISUAL or $EDITOR'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand crontab" -s r -d 'Remove the table'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand crontab" -s i -d 'Ask before it is removed'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand crontab" -s T -d 'Look for mistakes in FILE and install nothing'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand crontab" -s b -d 'Accepted, as cronie\'s: no backup is made, so none is told of'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand crontab" -s V -d 'Print the version'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand crontab" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand completions" -s h -l help -d 'Print help'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand man" -s h -l help -d 'Print help'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand help; and not __fish_seen_subcommand_from check next explain list status run stop pause resume reload health history logs publish outbox worker snapshot crontab completions man help" -f -a "check" -d 'Find mistakes in crontabs'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand help; and not __fish_seen_subcommand_from check next explain list status run stop pause resume reload health history logs publish outbox worker snapshot crontab completions man help" -f -a "next" -d 'Show when entries fire next'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand help; and not __fish_seen_subcommand_from check next explain list status run stop pause resume reload health history logs publish outbox worker snapshot crontab completions man help" -f -a "explain" -d 'Say in words what an entry does'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand help; and not __fish_seen_subcommand_from check next explain list status run stop pause resume reload health history logs publish outbox worker snapshot crontab completions man help" -f -a "list" -d 'List the jobs in force: when they run next, how they went last'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand help; and not __fish_seen_subcommand_from check next explain list status run stop pause resume reload health history logs publish outbox worker snapshot crontab completions man help" -f -a "status" -d 'Show what the daemon is at'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand help; and not __fish_seen_subcommand_from check next explain list status run stop pause resume reload health history logs publish outbox worker snapshot crontab completions man help" -f -a "run" -d 'Run a job now, whatever its schedule says'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand help; and not __fish_seen_subcommand_from check next explain list status run stop pause resume reload health history logs publish outbox worker snapshot crontab completions man help" -f -a "stop" -d 'End a run, as its time-out would'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand help; and not __fish_seen_subcommand_from check next explain list status run stop pause resume reload health history logs publish outbox worker snapshot crontab completions man help" -f -a "pause" -d 'Start no run of a job until it is resumed'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand help; and not __fish_seen_subcommand_from check next explain list status run stop pause resume reload health history logs publish outbox worker snapshot crontab completions man help" -f -a "resume" -d 'End a job\'s pause'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand help; and not __fish_seen_subcommand_from check next explain list status run stop pause resume reload health history logs publish outbox worker snapshot crontab completions man help" -f -a "reload" -d 'Have the daemon read its crontabs now'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand help; and not __fish_seen_subcommand_from check next explain list status run stop pause resume reload health history logs publish outbox worker snapshot crontab completions man help" -f -a "health" -d 'Say whether schedules are kept'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand help; and not __fish_seen_subcommand_from check next explain list status run stop pause resume reload health history logs publish outbox worker snapshot crontab completions man help" -f -a "history" -d 'Show what was run, and what was not and why'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand help; and not __fish_seen_subcommand_from check next explain list status run stop pause resume reload health history logs publish outbox worker snapshot crontab completions man help" -f -a "logs" -d 'Show what a job or a run printed'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand help; and not __fish_seen_subcommand_from check next explain list status run stop pause resume reload health history logs publish outbox worker snapshot crontab completions man help" -f -a "publish" -d 'Send a message to RabbitMQ, and see that it arrives'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand help; and not __fish_seen_subcommand_from check next explain list status run stop pause resume reload health history logs publish outbox worker snapshot crontab completions man help" -f -a "outbox" -d 'List what waits for the broker, or drop it'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand help; and not __fish_seen_subcommand_from check next explain list status run stop pause resume reload health history logs publish outbox worker snapshot crontab completions man help" -f -a "worker" -d 'Carry out what other daemons send to a queue'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand help; and not __fish_seen_subcommand_from check next explain list status run stop pause resume reload health history logs publish outbox worker snapshot crontab completions man help" -f -a "snapshot" -d 'Show, compare or forget the crontabs that the store holds'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand help; and not __fish_seen_subcommand_from check next explain list status run stop pause resume reload health history logs publish outbox worker snapshot crontab completions man help" -f -a "crontab" -d 'Maintain the crontabs of users'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand help; and not __fish_seen_subcommand_from check next explain list status run stop pause resume reload health history logs publish outbox worker snapshot crontab completions man help" -f -a "completions" -d 'Print a shell\'s completion script'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand help; and not __fish_seen_subcommand_from check next explain list status run stop pause resume reload health history logs publish outbox worker snapshot crontab completions man help" -f -a "man" -d 'Print the manual page'
complete -c cronkeep -n "__fish_cronkeep_using_subcommand help; and not __fish_seen_subcommand_from check next explain list status run stop pause resume reload health history logs publish outbox worker snapshot crontab completions man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
