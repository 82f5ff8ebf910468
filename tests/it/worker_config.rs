//! `[[worker]]` in a configuration: what it means, and every mistake with its place.

use std::{collections::BTreeMap, fs};

use serde_json::Value;
use tollgate::{
    app::check_together,
    catalog::load_shipped,
    config::{
        Config,
        load::load,
        options::{Kind, OPTIONS},
        schema::json_schema,
    },
};

fn loaded(toml: &str) -> Result<Config, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tollgate.toml");
    fs::write(&path, toml).unwrap();
    load(Some(&path), &BTreeMap::new()).map(|loaded| loaded.config).map_err(|mistakes| {
        mistakes.iter().map(|mistake| mistake.to_string().replace(path.to_str().unwrap(), "")).collect()
    })
}

#[test]
fn later_figures_keep_what_they_do_not_say() {
    let config = loaded(
        r#"
[[worker]]
name = "local"
url = "http://127.0.0.1:9200/"
models = ["small", "tiny"]
device_usd_per_hour = "0.05"
device_watts = "65"
usd_per_kwh = "0.30"
rates = [
  { valid_from = "2027-01-01", device_usd_per_hour = "0.04", pue = "1.2" },
  { valid_from = 2027-07-01, usd_per_kwh = "0.25" },
]
spawn = ["tollgate-worker", "serve", "--model", "models/small"]
[[model]]
name = "public"
targets = [{ provider = "local", model = "tiny" }]
"#,
    )
    .unwrap();
    let worker = &config.workers[0];
    assert_eq!(
        (worker.root_url.as_str(), worker.base_url.as_str()),
        ("http://127.0.0.1:9200", "http://127.0.0.1:9200/v1")
    );
    assert_eq!(worker.models, ["small", "tiny"]);
    assert_eq!(worker.spawn.as_ref().unwrap().len(), 4);
    let shown: Vec<_> = worker
        .rates
        .iter()
        .map(|dated| {
            let rate = dated.rate;
            let texts =
                [rate.device_usd_per_hour, rate.device_watts, rate.device_idle_watts, rate.usd_per_kwh, rate.pue];
            (dated.valid_from.map(|day| day.to_string()), texts.map(|decimal| decimal.to_string()).join(" "))
        })
        .collect();
    assert_eq!(
        shown,
        [
            (None, "0.05 65 0 0.3 1".to_owned()),
            (Some("2027-01-01".to_owned()), "0.04 65 0 0.3 1.2".to_owned()),
            (Some("2027-07-01".to_owned()), "0.05 65 0 0.25 1".to_owned()),
        ],
        "each inherits from the flat figures"
    );
}

#[test]
fn every_mistake_of_a_worker_has_its_line() {
    let mistakes = loaded(
        r#"[[provider]]
name = "p"
base_url = "http://x/v1"
[[worker]]
name = "p"
url = "http://127.0.0.1:9200/v1"
models = []
device_usd_per_hour = 0.05
device_wats = "5"
pue = "0.9"
valid_from = "2026-06-01"
rates = [
  { device_usd_per_hour = "0.04" },
  { valid_from = "2026-05-01", device_watts = "-1" },
  { valid_from = "2026-08-01", usd_per_kw = "1" },
  7,
]
[[worker]]
name = "w/x"
models = ["a", "a"]
device_usd_per_hour = "0.000000000000000001"
device_watts = "0.000000000000000001"
usd_per_kwh = "0.000000000000000001"
spawn = []
[[model]]
name = "m"
targets = [{ provider = "w/x", model = "b" }, { provider = "w/y", model = "a" }]
"#,
    )
    .unwrap_err();
    let expected = [
        ":8: worker[0].device_usd_per_hour: must be a number in quotes",
        ":9: worker[0] has no option device_wats; did you mean device_watts?",
        ":14: worker[0].rates[1].device_watts: must be a number in quotes",
        ":15: worker[0].rates[2] has no option usd_per_kw; did you mean usd_per_kwh?",
        ":16: worker[0].rates must be a list of tables",
        ":5: worker[0].name: a provider is named `p` already",
        ":6: worker[0].url: must be a URL without a path",
        ":5: worker[0]: models is missing",
        ":10: worker[0].pue: must be at least 1",
        ":13: worker[0].rates[0]: valid_from is missing",
        ":14: worker[0].rates[1].valid_from: must be later",
        ":19: worker[1].name: must not contain a slash",
        ":19: worker[1]: url is missing",
        ":20: worker[1].models: `a` stands twice",
        ":19: worker[1]: these figures are too large or have too many decimals",
        ":24: worker[1].spawn: must name a program",
        ":27: model[0].targets: worker `w/x` has no model `b`",
        ":27: model[0].targets: there is no provider `w/y`; did you mean `w/x`?",
    ];
    for text in expected {
        assert!(mistakes.iter().any(|mistake| mistake.starts_with(text)), "{text:?} is not in:\n{mistakes:#?}");
    }
}

#[test]
fn the_schema_knows_every_option_of_a_list_within_a_table() {
    let schema = json_schema();
    let within = &schema["properties"]["worker"]["items"]["properties"]["rates"]["items"]["properties"];
    let rates: Vec<_> = OPTIONS.iter().filter(|row| row.path.starts_with("worker[].rates[].")).collect();
    assert!(rates.len() >= 6 && rates.iter().any(|row| row.kind == Kind::Decimal));
    for row in rates {
        assert_ne!(within[row.path.rsplit('.').next().unwrap()], Value::Null, "{}", row.path);
    }
}

#[test]
fn a_worker_whose_rates_all_lie_ahead_is_a_mistake_while_unpriced_models_are_refused() {
    let worker = r#"
[[worker]]
name = "w"
url = "http://127.0.0.1:9200"
models = ["a"]
device_usd_per_hour = "1"
valid_from = "2999-01-01"
"#;
    let check = |prices: &str| {
        let config = loaded(&format!("{prices}{worker}")).unwrap();
        check_together(&config, &load_shipped().unwrap().with_workers(&config.workers))
    };
    let what = ["worker w: none of its rates is in force yet".to_owned()];
    assert_eq!(check(""), (what.to_vec(), Vec::new()));
    assert_eq!(check("[prices]\nunpriced = \"record\"\n"), (Vec::new(), what.to_vec()));
}
