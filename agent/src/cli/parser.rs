//! From arguments to typed values, with clap for the splitting and pflag's texts for the errors.

use super::CliError;
use super::duration::parse_duration;
use super::flags::{FLAGS, Flag, NOT_YET, Type, find};
use super::log::LogFormat;
use super::show::Show;
use super::values::{read_bool, read_int, read_ip, read_ips, read_socket, read_uint};
use clap::builder::ValueParser;
use clap::error::{ContextKind, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, Subcommand};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};

/// The value of a flag. No `Debug`: one of them is a password.
#[derive(Clone, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Ips(Vec<IpAddr>),
    Ip(Option<IpAddr>),
    Uint(u64),
    Int(i32),
    Nanoseconds(i64),
    Socket(Option<SocketAddr>),
    LogFormat(LogFormat),
    Text(String),
}

/// The value of every flag, given or default.
pub(super) struct Given {
    values: BTreeMap<&'static str, Value>,
    /// The flags that stand on the command line.
    pub(super) explicit: BTreeSet<&'static str>,
    /// How many arguments there were that belong to no flag.
    pub(super) positionals: usize,
}

impl Given {
    pub(super) fn bool(&self, name: &str) -> bool {
        matches!(self.values.get(name), Some(Value::Bool(true)))
    }

    pub(super) fn ips(&self, name: &str) -> &[IpAddr] {
        match self.values.get(name) {
            Some(Value::Ips(ips)) => ips,
            _ => &[],
        }
    }

    pub(super) fn ip(&self, name: &str) -> Option<IpAddr> {
        match self.values.get(name) {
            Some(Value::Ip(ip)) => *ip,
            _ => None,
        }
    }

    /// The number, or zero where it does not fit; the table gives each flag the limit of its type.
    pub(super) fn uint<T: TryFrom<u64> + Default>(&self, name: &str) -> T {
        match self.values.get(name) {
            Some(Value::Uint(value)) => T::try_from(*value).unwrap_or_default(),
            _ => T::default(),
        }
    }

    pub(super) fn int(&self, name: &str) -> i32 {
        match self.values.get(name) {
            Some(Value::Int(value)) => *value,
            _ => 0,
        }
    }

    pub(super) fn nanoseconds(&self, name: &str) -> i64 {
        match self.values.get(name) {
            Some(Value::Nanoseconds(value)) => *value,
            _ => 0,
        }
    }

    pub(super) fn socket(&self, name: &str) -> Option<SocketAddr> {
        match self.values.get(name) {
            Some(Value::Socket(socket)) => *socket,
            _ => None,
        }
    }

    pub(super) fn log_format(&self) -> LogFormat {
        match self.values.get("log-format") {
            Some(Value::LogFormat(format)) => *format,
            _ => LogFormat::default(),
        }
    }

    /// The text; `None` where it is empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.values.get(name) {
            Some(Value::Text(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// The flags of [`NOT_YET`] that have another value than their default.
    pub(super) fn not_yet(&self) -> Vec<&'static str> {
        let set = NOT_YET.iter().filter(|name| {
            let default = find(name).and_then(|flag| read(flag, flag.default).ok());
            self.values.get(**name) != default.as_ref()
        });
        set.copied().collect()
    }
}

/// What a command line asks for.
pub(super) enum Parsed {
    Run(Given),
    Show(Show),
}

pub(super) fn parse(args: Vec<OsString>) -> Result<Parsed, CliError> {
    let is_show = args
        .get(1)
        .is_some_and(|arg| Show::has_subcommand(&arg.to_string_lossy()));
    let refuse = |error: clap::Error| match is_show {
        true => explain_show(&error),
        false => explain(&error, &args),
    };
    let matches = command().try_get_matches_from(&args).map_err(refuse)?;
    if is_show {
        return Show::from_arg_matches(&matches).map(Parsed::Show).map_err(refuse);
    }
    let Some((_, run)) = matches.subcommand() else {
        return Err(syntax("no command given; write twintor run".to_owned()));
    };
    let mut values = BTreeMap::new();
    let mut explicit = BTreeSet::new();
    for flag in FLAGS {
        values.insert(flag.name, value_of(flag, run)?);
        if run.contains_id(flag.name) {
            explicit.insert(flag.name);
        }
    }
    let positionals = run
        .get_many::<OsString>(POSITIONALS)
        .map_or(0, |values| values.len());
    Ok(Parsed::Run(Given {
        values,
        explicit,
        positionals,
    }))
}

const POSITIONALS: &str = "positionals";

fn command() -> Command {
    let version = env!("CARGO_PKG_VERSION");
    let root = Command::new("twintor")
        .version(version)
        .about("The BGP speaker for racks with two top-of-rack switches")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(run_command());
    Show::augment_subcommands(root)
}

fn run_command() -> Command {
    let run = Command::new("run")
        .about("Announce what Kubernetes users mark with ovn.kubernetes.io/bgp")
        .long_about(
            "Announce what Kubernetes users mark with ovn.kubernetes.io/bgp to both switches of the rack.\n\n\
             Flags are those of kube-ovn-speaker and some more. A list is comma separated and may be repeated; \
             a duration is written like 90s, 1m30s or 500ms; a boolean like --passivemode or --passivemode=true.",
        )
        .override_usage("twintor run [FLAGS]")
        .args(FLAGS.iter().map(arg));
    // kube-ovn-speaker ignores what belongs to no flag.
    let positionals = Arg::new(POSITIONALS)
        .num_args(0..)
        .hide(true)
        .value_parser(ValueParser::os_string());
    run.arg(positionals)
}

fn arg(flag: &'static Flag) -> Arg {
    let known = !NOT_YET.contains(&flag.name);
    let mut help = flag.help.to_owned();
    if !flag.default.is_empty() && !flag.help.contains("; required") {
        help.push_str(&format!(" [default: {}]", flag.default));
    }
    if !known {
        help.push_str(" (not in this version yet)");
    }
    let arg = Arg::new(flag.name)
        .long(flag.name)
        .help(help)
        .help_heading(flag.group.heading())
        .hide_short_help(!known)
        // Every value is read, as pflag does; the last one of a flag that is no list counts.
        .action(ArgAction::Append)
        .value_parser(ValueParser::os_string());
    let arg = if flag.name == "v" { arg.short('v') } else { arg };
    match flag.r#type {
        Type::Bool => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_name("BOOL"),
        Type::Ips => named(arg, "IP,…"),
        Type::Ip => named(arg, "IP"),
        Type::Uint(_) | Type::Int => named(arg, "N"),
        Type::Duration => named(arg, "DURATION"),
        Type::Socket => named(arg, "IP:PORT"),
        Type::LogFormat => named(arg, "FORMAT"),
        Type::Text => named(arg, "TEXT"),
    }
}

fn named(arg: Arg, value_name: &'static str) -> Arg {
    arg.allow_hyphen_values(true).value_name(value_name)
}

fn value_of(flag: &Flag, matches: &ArgMatches) -> Result<Value, CliError> {
    let mut value = read(flag, flag.default).map_err(|reason| refuse(flag, flag.default, &reason))?;
    let Some(given) = matches.get_many::<OsString>(flag.name) else {
        return Ok(value);
    };
    for text in given {
        let Some(text) = text.to_str() else {
            return Err(refuse(flag, &text.to_string_lossy(), "not UTF-8"));
        };
        let next = read(flag, text).map_err(|reason| refuse(flag, text, &reason))?;
        value = match (value, next) {
            (Value::Ips(mut all), Value::Ips(more)) => {
                all.extend(more);
                Value::Ips(all)
            }
            // pflag keeps the former address where an empty one is given.
            (former @ Value::Ip(_), Value::Ip(None)) => former,
            (_, next) => next,
        };
    }
    Ok(value)
}

fn read(flag: &Flag, text: &str) -> Result<Value, String> {
    let value = match flag.r#type {
        Type::Bool => Value::Bool(read_bool(text)?),
        Type::Ips => Value::Ips(read_ips(text)?),
        Type::Ip => Value::Ip(read_ip(text)?),
        Type::Uint(max) => Value::Uint(read_uint(text, max)?),
        Type::Int => Value::Int(read_int(text)?),
        Type::Duration => Value::Nanoseconds(parse_duration(text).map_err(|error| error.to_string())?),
        Type::Socket if text.is_empty() => Value::Socket(None),
        Type::Socket => Value::Socket(Some(read_socket(text)?)),
        Type::LogFormat => Value::LogFormat(match text {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            _ => return Err("not a log format; use text or json".to_owned()),
        }),
        Type::Text => Value::Text(text.to_owned()),
    };
    Ok(value)
}

fn refuse(flag: &Flag, text: &str, reason: &str) -> CliError {
    refuse_value(flag.name, text, reason)
}

/// The error of a value that cannot be read.
pub(super) fn refuse_value(flag: &str, text: &str, reason: &str) -> CliError {
    let name = match flag {
        "v" => "-v, --v".to_owned(),
        name => format!("--{name}"),
    };
    syntax(format!("invalid argument {text:?} for \"{name}\" flag: {reason}"))
}

fn syntax(message: String) -> CliError {
    CliError::Syntax {
        message,
        usage: "Usage: twintor run [FLAGS]\nFor all flags: twintor run --help".to_owned(),
    }
}

/// What clap says, in our form.
fn explain_show(error: &clap::Error) -> CliError {
    let text = error.render();
    let plain = text.to_string();
    let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if is_help {
        let styled = text.ansi().to_string();
        return CliError::Help { plain, styled };
    }
    let (message, usage) = plain.split_once("\n\n").unwrap_or((&plain, ""));
    CliError::Syntax {
        message: message.trim_start_matches("error: ").trim_end().to_owned(),
        usage: usage.trim_end().to_owned(),
    }
}

fn explain(error: &clap::Error, args: &[OsString]) -> CliError {
    let context = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    let kind = error.kind();
    if matches!(kind, ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let text = error.render();
        return CliError::Help {
            plain: text.to_string(),
            styled: text.ansi().to_string(),
        };
    }
    if kind == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return CliError::Syntax {
            message: "no command given; write twintor run".to_owned(),
            usage: error.render().to_string(),
        };
    }
    let arg = context(ContextKind::InvalidArg);
    // clap names an argument with the name of its value.
    let name = arg.split([' ', '=', '[']).next().unwrap_or_default();
    if kind == ErrorKind::InvalidSubcommand {
        let command = context(ContextKind::InvalidSubcommand);
        return syntax(format!(
            "unknown command {command:?} for \"twintor\"; write twintor run"
        ));
    }
    if kind == ErrorKind::UnknownArgument && !args.iter().skip(1).any(|arg| arg == "run") {
        return syntax(format!(
            "unknown command or flag {name:?} for \"twintor\"; write twintor run"
        ));
    }
    if kind == ErrorKind::UnknownArgument {
        return syntax(unknown_flag(name, args));
    }
    if matches!(
        kind,
        ErrorKind::InvalidValue | ErrorKind::TooFewValues | ErrorKind::NoEquals
    ) {
        return syntax(format!("flag needs an argument: {name}"));
    }
    let text = error.render().to_string();
    let line = text.lines().next().unwrap_or_default();
    syntax(line.trim_start_matches("error: ").to_owned())
}

fn unknown_flag(name: &str, args: &[OsString]) -> String {
    if name.starts_with("--") {
        return format!("unknown flag: {name}");
    }
    let args = args.iter().filter_map(|arg| arg.to_str());
    let cluster = args.map(|arg| arg.split('=').next().unwrap_or_default());
    let written = cluster
        .filter(|arg| arg.starts_with(name))
        .find(|arg| !arg.starts_with("--"))
        .unwrap_or(name);
    let letter = name.trim_start_matches('-');
    let unknown = format!("unknown shorthand flag: '{letter}' in {written}");
    match find(written.trim_start_matches('-')) {
        Some(flag) => format!("{unknown}; write --{}", flag.name),
        None => unknown,
    }
}
