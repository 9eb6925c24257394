//! The flags of `serve`, made from the table.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use saacms_realtime_core::settings::variable;

use super::layers::{CONFIG, Layer, RawSetting};
use super::table::{SETTINGS, Setting};
use crate::terminal::quoted;

const PRINT_CONFIG: &str = "print-config";

/// The flags of `serve`.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServeArgs {
    /// Print the settings and exit.
    pub(crate) print_config: bool,
    /// Values of settings, and [`CONFIG`].
    pub(super) flags: Layer,
}

impl ServeArgs {
    /// Adds the flags of `outer` that are not among these.
    pub(crate) fn or(self, outer: Self) -> Self {
        Self {
            print_config: self.print_config || outer.print_config,
            flags: self.flags.or(outer.flags),
        }
    }

    /// One of the flags, as it was written; `None` if there is none.
    pub(crate) fn first_flag(&self) -> Option<String> {
        match self.flags.first() {
            Some(raw) => Some(raw.written.clone()),
            None => self.print_config.then(|| format!("--{PRINT_CONFIG}")),
        }
    }
}

impl Args for ServeArgs {
    fn augment_args(command: Command) -> Command {
        const HEADING: &str = "Configuration";
        const CONFIG_HELP: &str = "TOML file with settings; relative paths in it are relative to the \
                                   working directory";
        let config = flag(CONFIG, "FILE")
            .help(CONFIG_HELP)
            .long_help(format!("{CONFIG_HELP}\n[env: {}]", variable(CONFIG)))
            .help_heading(HEADING);

        let print_config = Arg::new(PRINT_CONFIG)
            .long(PRINT_CONFIG)
            .action(ArgAction::SetTrue)
            .help(
                "Print every setting and where it comes from, as a file for --config; report what is \
                 wrong, and exit",
            )
            .help_heading(HEADING);

        command
            .args(SETTINGS.iter().map(flag_of))
            .arg(config)
            .arg(print_config)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Layer::default();
        let keys = SETTINGS.iter().map(|setting| setting.key).chain([CONFIG]);
        for key in keys {
            // No flag has a default for clap: it would win over the environment and the file.
            let Some(texts) = matches.get_many::<String>(key) else {
                continue;
            };
            let texts: Vec<String> = texts.cloned().collect();
            // Quoted by errors, so it has every value of a list.
            let written: Vec<_> = texts
                .iter()
                .map(|text| format!("--{key} {}", quoted(text)))
                .collect();
            let origin = format!("flag --{key}");

            flags.insert(
                key,
                RawSetting {
                    texts,
                    written: written.join(" "),
                    origin,
                },
            );
        }

        Ok(Self {
            print_config: matches.get_flag(PRINT_CONFIG),
            flags,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn flag_of(setting: &'static Setting) -> Arg {
    let (help, default) = (setting.help, setting.default_text());
    let variable = variable(setting.key);

    flag(setting.key, setting.value_name)
        .action(if setting.is_list() {
            ArgAction::Append
        } else {
            ArgAction::Set
        })
        .help(format!("{help} [default: {default}]"))
        .long_help(format!("{help}\n[default: {default}] [env: {variable}]"))
        .help_heading(setting.heading)
}

/// A flag with a value. A negative number is a value too, so that the error names the allowed range.
fn flag(key: &'static str, value_name: &'static str) -> Arg {
    Arg::new(key)
        .long(key)
        .value_name(value_name)
        .allow_negative_numbers(true)
}
