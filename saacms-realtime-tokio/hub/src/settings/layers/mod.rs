//! The values from the flags, the environment and the file, as text.

mod environment;
mod file;

use std::collections::BTreeMap;

use super::table::SETTINGS;

/// The setting that names the file: a flag and a variable, but no key of the file.
pub(super) const CONFIG: &str = "config";

/// The publish token itself: a variable only, because a flag or a file of settings would show it.
pub(super) const PUBLISH_TOKEN: &str = "publish-token";

/// The value of a setting in one layer.
#[derive(Clone, Debug)]
pub(super) struct RawSetting {
    /// One text, or any number of them for a list.
    pub(super) texts: Vec<String>,
    /// Name and value as the user wrote them, and the place if that helps to find them.
    pub(super) written: String,
    /// The layer, for `--print-config`.
    pub(super) origin: String,
}

/// Values by the key of their setting.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer(BTreeMap<&'static str, RawSetting>);

impl Layer {
    pub(super) fn insert(&mut self, key: &'static str, raw: RawSetting) {
        self.0.insert(key, raw);
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<RawSetting> {
        self.0.remove(key)
    }

    /// Adds the values of `other` that this layer does not have.
    pub(super) fn or(mut self, other: Self) -> Self {
        for (key, raw) in other.0 {
            self.0.entry(key).or_insert(raw);
        }
        self
    }

    pub(super) fn get(&self, key: &str) -> Option<&RawSetting> {
        self.0.get(key)
    }

    /// The value of the first key, in their order.
    pub(super) fn first(&self) -> Option<&RawSetting> {
        self.0.values().next()
    }

    /// How the user wrote the setting `key`; its key if the user did not.
    pub(super) fn written(&self, key: &str) -> String {
        self.get(key)
            .map_or_else(|| key.to_owned(), |raw| raw.written.clone())
    }
}

fn keys() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|setting| setting.key)
}

/// The name in `known` that is closest to `name`; empty if `known` is.
fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> &'static str {
    known
        .min_by_key(|known| strsim::levenshtein(name, known))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_takes_the_fewest_edits() {
        let known = ["max-lag", "max-age", "heartbeat"];
        assert_eq!(nearest("heart-beat", known.into_iter()), "heartbeat");
        assert_eq!(nearest("max-agee", known.into_iter()), "max-age");
        assert_eq!(nearest("x", [].into_iter()), "");
    }

    #[test]
    fn a_layer_covers_the_one_below() {
        let layer = |text| Layer::from_toml("f", text).expect("is TOML");
        let both = layer("max-lag = 1").or(layer("max-lag = 2\nmax-topics = 3"));
        assert_eq!(both.written("max-lag"), "f, line 1: max-lag = 1");
        assert_eq!(both.written("max-topics"), "f, line 2: max-topics = 3");
        assert_eq!(both.written("max-age"), "max-age");
    }
}
