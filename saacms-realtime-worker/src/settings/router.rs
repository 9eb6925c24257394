use saacms_realtime_core::route::{Api, Cors, Token};
use saacms_realtime_core::settings::text::{self, show_size};

use super::{Environment, InvalidSetting};

/// The settings of a Worker's router.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RouterSettings {
    /// The HTTP API.
    pub api: Api,
    /// Name of the Durable Object binding. Default `SAACMS_REALTIME`.
    pub binding: String,
    /// Whether anybody may publish through the router.
    pub(crate) has_publishers: bool,
}

impl RouterSettings {
    /// Reads the settings from their variables.
    ///
    /// # Errors
    ///
    /// The first invalid variable, and what is allowed. Without a token nobody publishes through the
    /// router, which is no error: a host may publish to the objects itself.
    pub(crate) fn read(env: Environment<'_>) -> Result<Self, InvalidSetting> {
        let mut binding = "SAACMS_REALTIME".to_owned();
        env.read("binding", &mut binding, |text| {
            Ok::<_, String>(text.to_owned())
        })?;

        // Whether there are any is up to the objects.
        let mut api = Api::default().with_websockets();
        if let Some(text) = env.text("base_path") {
            api = api
                .at(&text)
                .map_err(|error| InvalidSetting::new("base_path", &text, error.to_string()))?;
        }

        let mut cors = cors(env)?;
        let mut max_body_bytes = api.max_body_bytes();
        env.read("max_body_bytes", &mut max_body_bytes, |text| {
            let show = |bytes: &usize| show_size(*bytes as u64);
            text::within(text::size(text)?, &(1..=1 << 20), show)
        })?;
        let mut with_credentials = false;
        env.read("cors_credentials", &mut with_credentials, text::switch)?;
        if with_credentials {
            cors = cors.with_credentials().map_err(|error| {
                InvalidSetting::new("cors_credentials", "true", error.to_string())
            })?;
        }

        api = api.with_cors(cors).with_max_body_bytes(max_body_bytes);
        let mut is_open = false;
        env.read("open_publish", &mut is_open, text::switch)?;
        api = match publish_token(env)? {
            Some(token) => api.with_publish_token(token),
            None if is_open => api.with_open_publish(),
            None => api,
        };
        let has_publishers = is_open || env.text(PUBLISH_TOKEN).is_some();
        Ok(Self {
            api,
            binding,
            has_publishers,
        })
    }
}

const PUBLISH_TOKEN: &str = "publish_token";

/// The token that publishers must send.
fn publish_token(env: Environment<'_>) -> Result<Option<Token>, InvalidSetting> {
    let Some(text) = env.text(PUBLISH_TOKEN) else {
        return Ok(None);
    };
    // An error must not quote the secret.
    let token = Token::new(&text);
    token
        .map(Some)
        .map_err(|error| InvalidSetting::without_text(PUBLISH_TOKEN, error))
}

/// The origins whose pages may read answers, and publish.
pub(crate) fn cors(env: Environment<'_>) -> Result<Cors, InvalidSetting> {
    let mut cors = Cors::default();
    env.read("cors_origin", &mut cors, |text| {
        Cors::new(text::list(text)).map_err(|error| error.to_string())
    })?;
    Ok(cors)
}

#[cfg(test)]
mod tests {
    use super::super::environment;
    use super::*;

    fn router(variables: &[(&str, &str)]) -> Result<RouterSettings, String> {
        let env = environment(variables);
        RouterSettings::read(Environment(&env)).map_err(|error| error.to_string())
    }

    #[test]
    fn nobody_publishes_without_a_token_or_open_publish() {
        let has_publishers = |variables: &[_]| router(variables).map(|it| it.has_publishers);
        assert_eq!(has_publishers(&[]), Ok(false));
        assert_eq!(has_publishers(&[("OPEN_PUBLISH", "true")]), Ok(true));
        assert_eq!(
            has_publishers(&[("PUBLISH_TOKEN", "0123456789abcdef")]),
            Ok(true)
        );
        let error = router(&[("PUBLISH_TOKEN", "secret")]).expect_err("too short");
        assert!(
            error.contains("6 bytes") && !error.contains("secret"),
            "{error}"
        );
    }

    #[test]
    fn every_setting_of_a_router_is_read() {
        let settings = router(&[
            ("PUBLISH_TOKEN", "0123456789abcdef"),
            ("BASE_PATH", "/live"),
            ("BINDING", "ROOMS"),
            ("CORS_ORIGIN", "https://a.example, https://b.example"),
            ("MAX_BODY_BYTES", "64KiB"),
        ])
        .expect("valid");
        assert_eq!(
            (settings.api.base_path(), &*settings.binding),
            ("/live", "ROOMS")
        );
        assert_eq!(settings.api.max_body_bytes(), 64 << 10);
        assert!(router(&[("OPEN_PUBLISH", "true"), ("CORS_ORIGIN", "nope")]).is_err());
    }

    #[test]
    fn credentials_need_origins_that_are_listed_by_name() {
        let with = |origins| {
            router(&[
                ("OPEN_PUBLISH", "true"),
                ("CORS_ORIGIN", origins),
                ("CORS_CREDENTIALS", "true"),
            ])
        };
        assert!(with("https://a.example").is_ok());
        let error = with("*").expect_err("a wildcard");
        assert!(
            error.starts_with("SAACMS_REALTIME_CORS_CREDENTIALS") && error.contains("by name"),
            "{error}"
        );
    }
}
