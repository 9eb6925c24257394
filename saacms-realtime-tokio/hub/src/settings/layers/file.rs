use std::fs;

use saacms_realtime_core::settings::text;
use toml::de::{DeTable, DeValue};

use super::{Layer, RawSetting, keys, nearest};
use crate::settings::start_error::{LIST_ALL, StartError};
use crate::settings::table::Setting;
use crate::terminal::quoted;

impl Layer {
    /// Reads the TOML file that `config` names; nothing if the name is empty.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the first line that is wrong.
    pub(in crate::settings) fn from_file(config: &RawSetting) -> Result<Self, StartError> {
        let path = config.texts.concat();
        // So that a flag can turn off the file that a variable names.
        if path.is_empty() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(&path).map_err(|error| StartError {
            message: format!("{}: cannot read the file: {error}", config.written),
            hint: "`saacms-realtime --print-config` writes a complete one".to_owned(),
        })?;
        Self::from_toml(&quoted(&path), text::without_mark(&text))
    }

    pub(super) fn from_toml(path: &str, text: &str) -> Result<Self, StartError> {
        let document = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            StartError {
                message: format!(
                    "{path}, line {}: {}",
                    line_of(text, at),
                    error.message().trim_end()
                ),
                hint: "a line looks like max-events = 100 or max-age = \"1h\"".to_owned(),
            }
        })?;

        let mut entries: Vec<_> = document.get_ref().iter().collect();
        // In the order of the file, so that the error is about the first invalid line.
        entries.sort_by_key(|(key, _)| key.span().start);

        let mut layer = Self::default();
        for (name, value) in entries {
            let place = format!("{path}, line {}", line_of(text, name.span().start));
            let Some(setting) = Setting::find(name.get_ref()) else {
                let nearest = nearest(name.get_ref(), keys());
                return Err(StartError {
                    message: format!("{place}: there is no setting {}", quoted(name.get_ref())),
                    hint: format!("the nearest is {nearest}; {LIST_ALL}"),
                });
            };

            // An array can span several lines, and an error quotes only the first.
            let source = text.get(value.span()).unwrap_or_default();
            let source = match source.split_once(['\r', '\n']) {
                Some((first_line, _)) => format!("{first_line} ..."),
                None => source.to_owned(),
            };
            let written = format!("{place}: {} = {source}", setting.key);
            let texts = texts_of(value.get_ref()).ok_or_else(|| StartError {
                message: format!("{written}: must be a string, a number, true or false"),
                hint: setting.hint(),
            })?;

            layer.insert(
                setting.key,
                RawSetting {
                    texts,
                    written,
                    origin: format!("file {path}"),
                },
            );
        }
        Ok(layer)
    }
}

/// The number of the line that has the byte at `offset`.
fn line_of(text: &str, offset: usize) -> usize {
    let line_ends = text.bytes().take(offset).filter(|byte| *byte == b'\n');
    line_ends.count() + 1
}

/// A value of the file as the texts that a flag would have; `None` for a value that no flag can have.
fn texts_of(value: &DeValue<'_>) -> Option<Vec<String>> {
    match value {
        DeValue::Array(items) => {
            let texts = items.iter().map(|item| text_of(item.get_ref()));
            texts.collect()
        }
        scalar @ (DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Table(_)) => text_of(scalar).map(|text| vec![text]),
    }
}

fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        // In decimal digits: 0x10 and 1_000 are numbers in TOML but not in a flag.
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Some(number.to_string()),
            // Too large for any setting, so it is refused as out of range.
            Err(_) => Some(number.to_string()),
        },
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(switch) => Some(switch.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_a_file_is_text() {
        let layer = Layer::from_toml(
            "f",
            "max-events = 1_000\nmax-lag = 0x10\nquiet-resume = false\nmax-age = '1h'\n\
             cors-origin = ['https://a', \"https://b\"]\nheartbeat = -5\nmax-topics = 1.5\n\
             max-lag-bytes = 999999999999999999999999",
        );
        let layer = layer.expect("is TOML");
        for (key, texts) in [
            ("max-events", &["1000"] as &[&str]),
            ("max-lag", &["16"]),
            ("quiet-resume", &["false"]),
            ("max-age", &["1h"]),
            ("cors-origin", &["https://a", "https://b"]),
            ("heartbeat", &["-5"]),
            ("max-topics", &["1.5"]),
            ("max-lag-bytes", &["999999999999999999999999"]),
        ] {
            assert_eq!(layer.get(key).expect(key).texts, texts, "{key}");
        }
        assert_eq!(layer.written("max-lag"), "f, line 2: max-lag = 0x10");
    }

    #[test]
    fn a_file_is_refused_where_it_is_wrong() {
        for (text, wrong) in [
            (
                "max-events = 1\n\nmax-evnts = 2",
                "f, line 3: there is no setting max-evnts\n",
            ),
            ("max_events = 1", "the nearest is max-events;"),
            (
                "zzz = 1\nconfig = 'x'",
                "f, line 1: there is no setting zzz",
            ),
            ("config = 'other'", "f, line 1: there is no setting config"),
            (
                "[hub]\nmax-events = 1",
                "f, line 1: there is no setting hub",
            ),
            ("max-events.x = 1", "f, line 1: max-events ="),
            (
                "max-age = 1979-05-27",
                "f, line 1: max-age = 1979-05-27: must be a string",
            ),
            (
                "cors-origin = [[]]",
                "f, line 1: cors-origin = [[]]: must be a string",
            ),
            ("max-age = 1h", "f, line 1: "),
            ("max-lag = 1\nmax-lag = 2", "f, line 2: "),
            ("\"a\\nb\" = 1", "there is no setting \"a\\nb\"\n"),
        ] {
            let error = Layer::from_toml("f", text).expect_err(text).to_string();
            assert!(error.contains(wrong), "{text}: {error}");
        }
    }
}
