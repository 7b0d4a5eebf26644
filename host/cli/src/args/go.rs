//! The Go way of writing flags, brought into clap's; and clap's complaints, brought into one line.

use clap::{Arg, ArgAction, Command, error::ErrorKind};

use super::{Result, usage};

/// The Go way of writing flags in clap's: two dashes, and a value joined to its flag. What follows a subcommand is left
/// as it is.
pub(super) fn normalise(command: &Command, line: Vec<String>) -> Result<Vec<String>> {
    let mut normal = Vec::with_capacity(line.len());
    let mut rest = line.into_iter();
    normal.extend(rest.next());
    while let Some(argument) = rest.next() {
        if command.find_subcommand(&argument).is_some() {
            normal.push(argument);
            break;
        }
        if !argument.starts_with('-') {
            return usage(format!(
                "unknown command {argument:?}: without a command the broker runs, and takes flags only"
            ));
        }
        let bare = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')).unwrap_or_default();
        if bare.len() < 2 || !bare.starts_with(|first: char| first.is_ascii_alphabetic()) {
            normal.push(argument);
            continue;
        }
        let name = bare.split('=').next().unwrap_or_default();
        let Some(known) = command.get_arguments().find(|arg| arg.get_long() == Some(name)) else {
            // clap complains about it, and looks no further.
            normal.push(format!("--{bare}"));
            break;
        };
        match (name == bare && takes_value(known)).then(|| rest.next()).flatten() {
            Some(value) => normal.push(format!("--{bare}={value}")),
            None => normal.push(format!("--{bare}")),
        }
    }
    normal.extend(rest);
    Ok(normal)
}

/// Whether a flag's value may stand in the next argument. A switch's may not, as in Go.
fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) && !arg.is_require_equals_set()
}

/// clap's complaint in one line; or the text that was asked for.
pub(super) fn explain(error: &clap::Error) -> Result<String> {
    use clap::error::{ContextKind, ContextValue};
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let bad = context(ContextKind::InvalidArg).unwrap_or_default();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Ok(error.render().to_string())
        }
        ErrorKind::UnknownArgument if bad.starts_with('-') => {
            let mend = context(ContextKind::SuggestedArg).map_or_else(
                || format!("{} --help lists all", command_of(error)),
                |flag| format!("did you mean {flag}?"),
            );
            usage(format!("unknown flag {bad}: {mend}"))
        }
        ErrorKind::InvalidValue | ErrorKind::NoEquals
            if context(ContextKind::InvalidValue).is_none_or(|v| v.is_empty()) =>
        {
            let flag =
                bad.split_whitespace().next().unwrap_or_default().split('=').next().unwrap_or_default().to_owned();
            usage(format!("{flag} needs a value: {flag}=VALUE"))
        }
        _ => usage(one_line(error)),
    }
}

/// The command that a complaint is about: what its usage begins with, before options and arguments.
fn command_of(error: &clap::Error) -> String {
    use clap::error::{ContextKind, ContextValue};
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => usage.to_string(),
        _ => String::new(),
    };
    let words = usage.split_whitespace().skip_while(|word| *word == "Usage:");
    let command: Vec<&str> = words.take_while(|word| !word.starts_with(['[', '<', '-'])).collect();
    if command.is_empty() { "resource-broker".to_owned() } else { command.join(" ") }
}

/// clap's message without its label and the usage that follows it.
pub(super) fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let message: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    message.join(" ").trim_start_matches("error: ").to_owned()
}
