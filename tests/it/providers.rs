//! `[[provider]]` and the catalogue: what need not be written, what the environment switches on, and every mistake.

use std::{collections::BTreeMap, fs};

use tollgate::config::{Config, Paths, Provider, dialect::ProviderDialect, known::KNOWN, load::load};

fn loaded(toml: &str, env: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tollgate.toml");
    fs::write(&path, toml).unwrap();
    let env: BTreeMap<String, String> =
        env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    load(Some(&path), &env).map(|loaded| loaded.config).map_err(|mistakes| {
        mistakes.iter().map(|mistake| mistake.to_string().replace(path.to_str().unwrap(), "")).collect()
    })
}

fn only(toml: &str, env: &[(&str, &str)]) -> Provider {
    let mut providers = loaded(toml, env).unwrap().providers;
    assert_eq!(providers.len(), 1);
    providers.remove(0)
}

fn named(name: &str, more: &str) -> String {
    format!("[[provider]]\nname = \"{name}\"\n{more}\n")
}

#[test]
fn every_known_provider_needs_a_name_and_a_key_and_nothing_else() {
    for known in KNOWN {
        let key = if known.is_local() { "" } else { "api_key = \"env:SOME_KEY\"" };
        let env = [("AZURE_OPENAI_ENDPOINT", "https://acme.openai.azure.com/"), ("AWS_REGION", "eu-west-1")];
        let env = [env.as_slice(), &[("SOME_KEY", "secret")]].concat();
        let provider = only(&named(known.name, key), &env);
        assert_eq!((provider.dialect, provider.key_header), (known.dialect, known.key_header), "{}", known.name);
        assert_eq!((provider.allow_private, provider.drain_on_disconnect), (known.is_local(), !known.is_local()));
    }
}

#[test]
fn a_key_in_the_environment_switches_its_provider_on_and_no_other() {
    for known in KNOWN.iter().filter(|known| !known.is_local()) {
        for variable in known.key_env {
            let env = [
                (*variable, "secret"),
                ("AZURE_OPENAI_ENDPOINT", "https://acme.openai.azure.com/openai/v1/"),
                ("AWS_REGION", "cn-north-1"),
            ];
            let provider = only("", &env);
            assert_eq!(provider.name, known.name, "{variable}");
            assert_eq!(provider.api_key.unwrap().read().unwrap(), "secret");
            match known.name {
                "azure" => assert_eq!(provider.base_url, "https://acme.openai.azure.com/openai/v1"),
                "bedrock" => assert_eq!(provider.base_url, "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
                _ => {}
            }
        }
    }
}

#[test]
fn a_key_without_the_address_that_belongs_to_it_switches_nothing_on() {
    let env = [("AZURE_OPENAI_API_KEY", "x"), ("AWS_BEARER_TOKEN_BEDROCK", "x"), ("OPENAI_API_KEY", "")];
    assert!(loaded("", &env).unwrap().providers.is_empty());
    // Keys of an AWS account are there for many tools.
    let env = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_REGION", "us-east-1")];
    assert!(loaded("", &env).unwrap().providers.is_empty());
}

#[test]
fn what_is_written_wins_over_the_catalogue_and_the_environment() {
    let provider = only(
        &named(
            "mistral",
            "base_url = \"https://eu.example/v1/\"\nquirks = []\nkey_header = \"api-key\"\non_disconnect = \"cancel\"\nallow_private = true",
        ),
        &[("MISTRAL_API_KEY", "secret")],
    );
    assert_eq!(provider.base_url, "https://eu.example/v1");
    assert!(provider.stream_options && provider.allow_private && !provider.drain_on_disconnect);
    assert_eq!(provider.key_header.name(), "api-key");
    assert_eq!(provider.api_key.unwrap().read().unwrap(), "secret");
    let local = only(&named("vllm", "on_disconnect = \"drain\"\nallow_private = false"), &[]);
    assert!(local.drain_on_disconnect && !local.allow_private);
}

#[test]
fn quirks_of_the_catalogue_are_there() {
    for (name, asks) in [("mistral", false), ("perplexity", false), ("openai", true), ("groq", true)] {
        assert_eq!(only(&named(name, "api_key = \"file:/x\""), &[]).stream_options, asks, "{name}");
    }
    assert_eq!(only(&named("vertex", "api_key = \"file:/x\""), &[]).paths, Paths::Vertex);
    let env = [("AZURE_OPENAI_ENDPOINT", "https://acme.openai.azure.com")];
    let azure = only(&named("azure", "api_key = \"file:/x\"\napi_version = \"2024-10-21\""), &env);
    assert_eq!(azure.base_url, "https://acme.openai.azure.com");
    assert_eq!(azure.paths, Paths::Deployments { api_version: "2024-10-21".to_owned() });
}

#[test]
fn another_name_may_be_like_a_known_one_and_another_dialect_has_its_own_base() {
    let east = only(
        &named(
            "azure-east",
            "like = \"azure\"\nbase_url = \"https://east.openai.azure.com/openai/v1\"\napi_key = \"file:/x\"",
        ),
        &[],
    );
    assert_eq!((east.name.as_str(), east.key_header.name()), ("azure-east", "api-key"));
    let ollama = only(&named("ollama", "dialect = \"openai\""), &[]);
    assert_eq!((ollama.dialect, ollama.base_url.as_str()), (ProviderDialect::OpenAi, "http://127.0.0.1:11434/v1"));
    // Gemini's other dialect takes the key as everybody does.
    let gemini = only(&named("gemini", "dialect = \"openai\"\napi_key = \"file:/x\""), &[]);
    assert_eq!(gemini.key_header.name(), "authorization");
}

#[test]
fn bedrock_takes_a_token_or_keys_that_sign() {
    let env = [("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_DEFAULT_REGION", "us-west-2")];
    let signing = only(&named("bedrock", ""), &env);
    let keys = signing.aws.as_ref().unwrap();
    assert_eq!((keys.region.as_str(), signing.secrets().count()), ("us-west-2", 2));
    assert_eq!(signing.base_url, "https://bedrock-runtime.us-west-2.amazonaws.com");
    let written = "aws_region = \"eu-west-3\"\naws_access_key_id = \"env:A\"\naws_secret_access_key = \"file:/b\"\naws_session_token = \"env:C\"";
    let written = only(&named("bedrock", written), &env);
    assert_eq!((written.aws.as_ref().unwrap().region.as_str(), written.secrets().count()), ("eu-west-3", 3));
    let token = only(&named("bedrock", "api_key = \"file:/x\""), &env);
    assert!(token.aws.is_none() && token.secrets().count() == 1);
}

#[test]
fn mistakes_say_what_to_write() {
    for (toml, expected) in [
        (named("opnai", ""), "there is no `opnai` in the catalogue; did you mean `openai`?"),
        (named("mine", ""), "base_url is missing"),
        (named("mine", "like = \"grok\""), "there is no `grok` in the catalogue; did you mean `groq`?"),
        (named("groq", ""), "api_key is missing: set GROQ_API_KEY, or write it"),
        (named("azure", "api_key = \"file:/x\""), "base_url is missing: write it, or set AZURE_OPENAI_ENDPOINT"),
        (named("groq", "dialect = \"cohere\"\napi_key = \"file:/x\""), "`groq` is not known to speak `cohere`"),
        (named("bedrock", "api_key = \"file:/x\""), "aws_region is missing: write it, or set AWS_REGION"),
        (
            named("bedrock", "aws_region = \"us-east-1\"\naws_access_key_id = \"env:A\""),
            "aws_access_key_id and aws_secret_access_key belong together",
        ),
        (
            named("openai", "api_key = \"file:/x\"\nquirks = [\"no_stream_option\"]"),
            "did you mean \"no_stream_options\"?",
        ),
        (named("openai", "api_key = \"file:/x\"\nkey_header = \"x-apikey\""), "did you mean \"x-api-key\"?"),
    ] {
        let mistakes = loaded(&toml, &[]).unwrap_err();
        assert!(mistakes.iter().any(|mistake| mistake.contains(expected)), "{toml}\n{mistakes:?}");
        assert!(mistakes.iter().all(|mistake| mistake.starts_with(':')), "{mistakes:?}");
    }
}
