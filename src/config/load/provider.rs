//! Reads `[[provider]]`: what it does not say, the catalogue ([`known`]) and the environment do.

use super::{Builder, Literal};
use crate::config::{
    AwsKeys, Paths, Provider,
    dialect::ProviderDialect,
    known::{self, Base, KNOWN, KeyHeader, Known, Quirk},
    options::did_you_mean,
    secret::Secret,
};

const REGION_VARIABLES: &[&str] = &["AWS_REGION", "AWS_DEFAULT_REGION"];

/// What is known of a provider whose name is in no catalogue.
const UNKNOWN_QUIRKS: &[Quirk] = &[];

impl Builder<'_> {
    pub(super) fn providers(&mut self) -> Vec<Provider> {
        let mut providers: Vec<Provider> = Vec::new();
        for table in self.repeated("provider") {
            let name = self.required(&table, "name");
            if name.contains('/') {
                self.mistake(&format!("{table}.name"), "must not contain a slash");
            }
            if providers.iter().any(|other| other.name == name) {
                self.mistake(&format!("{table}.name"), format!("a provider named `{name}` stands above already"));
            }
            let provider = self.written(&table, name);
            providers.push(provider);
        }
        let switched_on = KNOWN.iter().filter(|known| providers.iter().all(|other| other.name != known.name));
        let switched_on: Vec<Provider> = switched_on.filter_map(|known| self.of_environment(known)).collect();
        providers.extend(switched_on);
        providers
    }

    /// A provider of the catalogue that is not written anywhere, if the environment has its key and its address.
    fn of_environment(&self, known: &Known) -> Option<Provider> {
        let api_key = self.env_key(known)?;
        let base_url = self.known_base(known, known.dialect, self.region().as_deref())?;
        Some(Provider {
            name: known.name.to_owned(),
            dialect: known.dialect,
            base_url,
            api_key: Some(api_key),
            key_header: known.key_header,
            aws: None,
            stream_options: !known.quirks.contains(&Quirk::NoStreamOptions),
            paths: paths(known.quirks, None),
            drain_on_disconnect: true,
            drain_ms_max: None,
            allow_private: false,
        })
    }

    fn written(&mut self, table: &str, name: String) -> Provider {
        let known = self.known(table, &name);
        let dialect = self.maybe_text(&format!("{table}.dialect"));
        let dialect = dialect.and_then(|name| ProviderDialect::of_name(&name));
        let dialect = dialect.or(known.map(|known| known.dialect)).unwrap_or(ProviderDialect::OpenAi);
        let own = known.filter(|known| known.dialect == dialect);
        let key_header = self.maybe_text(&format!("{table}.key_header")).and_then(|word| KeyHeader::of_name(&word));
        let quirks = self.quirks(table).unwrap_or_else(|| own.map_or(UNKNOWN_QUIRKS, |known| known.quirks).to_vec());
        let api_version = self.maybe_text(&format!("{table}.api_version")).filter(|version| !version.is_empty());
        let is_local = known.is_some_and(Known::is_local);
        let (aws, region) = if dialect == ProviderDialect::Bedrock { self.aws(table) } else { (None, None) };
        let at_home = self.maybe_text(&format!("{table}.base_url")).is_none();
        let base_url = self.base_url(table, &name, known, dialect, region.as_deref());
        let api_key = self.secret(&format!("{table}.api_key")).or_else(|| known.and_then(|known| self.env_key(known)));
        if let Some(known) = known.filter(|known| at_home && !known.is_local() && api_key.is_none() && aws.is_none()) {
            let variable = known.key_env.first().copied().unwrap_or_default();
            self.mistake(&format!("{table}."), format!("api_key is missing: set {variable}, or write it"));
        }
        Provider {
            base_url: match &api_version {
                Some(_) => without_version(&base_url).to_owned(),
                None => base_url,
            },
            key_header: key_header
                .or(own.map(|known| known.key_header))
                .unwrap_or_else(|| KeyHeader::of_dialect(dialect)),
            aws: aws.filter(|_| api_key.is_none()),
            api_key,
            stream_options: !quirks.contains(&Quirk::NoStreamOptions),
            paths: paths(&quirks, api_version),
            drain_on_disconnect: match self.maybe_text(&format!("{table}.on_disconnect")) {
                Some(word) => word != "cancel",
                None => !is_local,
            },
            drain_ms_max: self.maybe_count(&format!("{table}.drain_ms_max")),
            allow_private: match self.value(&format!("{table}.allow_private")) {
                Some(Literal::Flag(flag)) => *flag,
                _ => is_local,
            },
            name,
            dialect,
        }
    }

    /// What the catalogue knows of it, by its own name or the one that `like` says.
    fn known(&mut self, table: &str, name: &str) -> Option<&'static Known> {
        let path = format!("{table}.like");
        let Some(like) = self.maybe_text(&path).filter(|like| !like.is_empty()) else { return known::find(name) };
        let found = known::find(&like);
        if found.is_none() {
            let what = format!("there is no `{like}` in the catalogue{}", hint(&like));
            self.mistake(&path, what);
        }
        found
    }

    fn quirks(&mut self, table: &str) -> Option<Vec<Quirk>> {
        let path = format!("{table}.quirks");
        let Some(Literal::Texts(words)) = self.value(&path) else { return None };
        let mut quirks = Vec::new();
        for word in words.clone() {
            match Quirk::of_name(&word) {
                Some(quirk) => quirks.push(quirk),
                None => {
                    let near = did_you_mean(&word, Quirk::NAMES)
                        .map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"));
                    self.mistake(&path, format!("`{word}` is not one of {}{near}", Quirk::NAMES.join(", ")));
                }
            }
        }
        Some(quirks)
    }

    fn env_key(&self, known: &Known) -> Option<Secret> {
        known.key_env.iter().find_map(|variable| self.env_secret(variable))
    }

    fn env_secret(&self, variable: &str) -> Option<Secret> {
        let value = self.env.get(variable).filter(|value| !value.is_empty())?;
        Some(Secret::Env { name: variable.to_owned(), value: Some(value.clone()) })
    }

    fn region(&self) -> Option<String> {
        REGION_VARIABLES.iter().find_map(|variable| self.env.get(*variable).filter(|value| !value.is_empty()).cloned())
    }

    /// Keys that sign requests, and the region, as written or as the AWS SDKs find them.
    fn aws(&mut self, table: &str) -> (Option<AwsKeys>, Option<String>) {
        let region = self.maybe_text(&format!("{table}.aws_region")).filter(|region| !region.is_empty());
        let region = region.or_else(|| self.region());
        let written = ["access_key_id", "secret_access_key", "session_token"]
            .map(|name| self.secret(&format!("{table}.aws_{name}")));
        let keys = match written {
            [Some(id), Some(secret), token] => Some((id, secret, token)),
            [None, None, None] => self
                .env_secret("AWS_ACCESS_KEY_ID")
                .zip(self.env_secret("AWS_SECRET_ACCESS_KEY"))
                .map(|(id, secret)| (id, secret, self.env_secret("AWS_SESSION_TOKEN"))),
            _ => {
                self.mistake(&format!("{table}."), "aws_access_key_id and aws_secret_access_key belong together");
                None
            }
        };
        let keys = keys.map(|(access_key_id, secret_access_key, session_token)| AwsKeys {
            access_key_id,
            secret_access_key,
            session_token,
            region: region.clone().unwrap_or_default(),
        });
        if keys.is_some() && region.is_none() {
            self.mistake(&format!("{table}."), "aws_region is missing: write it, or set AWS_REGION");
        }
        (keys, region)
    }

    /// The catalogue's base, as far as the environment says what it lacks.
    fn known_base(&self, known: &Known, dialect: ProviderDialect, region: Option<&str>) -> Option<String> {
        if dialect != known.dialect {
            return known.also.iter().find(|(other, _)| *other == dialect).map(|(_, base)| (*base).to_owned());
        }
        match known.base {
            Base::Fixed(base) => Some(base.to_owned()),
            Base::Resource(variable, behind) => {
                let resource = self.env.get(variable).filter(|value| !value.is_empty())?;
                Some(format!("{}{behind}", without_version(resource.trim_end_matches('/'))))
            }
            Base::Region => region.map(|region| {
                let china = if region.starts_with("cn-") { ".cn" } else { "" };
                format!("https://bedrock-runtime.{region}.amazonaws.com{china}")
            }),
        }
    }

    fn base_url(
        &mut self,
        table: &str,
        name: &str,
        known: Option<&Known>,
        dialect: ProviderDialect,
        region: Option<&str>,
    ) -> String {
        let path = format!("{table}.base_url");
        let written = self.maybe_text(&path);
        let from_catalogue = || known.and_then(|known| self.known_base(known, dialect, region));
        let url = written.or_else(from_catalogue).unwrap_or_default();
        let url = url.trim_end_matches('/').to_owned();
        match url.parse::<http::Uri>() {
            Ok(uri)
                if uri.host().is_some()
                    && matches!(uri.scheme_str(), Some("http" | "https"))
                    && uri.query().is_none() => {}
            _ if url.is_empty() => {
                let what = match known.map(|known| known.base) {
                    Some(Base::Resource(variable, _)) => format!("base_url is missing: write it, or set {variable}"),
                    Some(Base::Region) if dialect == ProviderDialect::Bedrock => {
                        "aws_region is missing: write it, or set AWS_REGION".to_owned()
                    }
                    Some(_) => format!("base_url is missing: `{name}` is not known to speak `{}`", dialect.name()),
                    None => format!(
                        "base_url is missing, such as \"https://api.openai.com/v1\", and there is no `{name}` in the catalogue{}",
                        hint(name)
                    ),
                };
                self.mistake(&format!("{table}."), what);
            }
            _ => self.mistake(&path, "must be a URL such as \"https://api.openai.com/v1\""),
        }
        url
    }
}

fn hint(name: &str) -> String {
    did_you_mean(name, KNOWN.iter().map(|known| known.name))
        .map_or_else(|| " (docs/providers.md)".to_owned(), |near| format!("; did you mean `{near}`?"))
}

fn paths(quirks: &[Quirk], api_version: Option<String>) -> Paths {
    match api_version {
        Some(api_version) => Paths::Deployments { api_version },
        None if quirks.contains(&Quirk::VertexPaths) => Paths::Vertex,
        None => Paths::Plain,
    }
}

/// Azure's endpoint, however much of the path behind it was written.
fn without_version(base_url: &str) -> &str {
    let base_url = base_url.strip_suffix("/v1").unwrap_or(base_url);
    base_url.strip_suffix("/openai").unwrap_or(base_url)
}
