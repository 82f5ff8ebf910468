//! Writes the admin API's OpenAPI document to standard output: `cargo run --quiet --example openapi >docs/openapi.json`.

use std::{
    error::Error,
    io::{Write, stdout},
};

fn main() -> Result<(), Box<dyn Error>> {
    let document = tollgate::http::admin::openapi::document().to_pretty_json()?;
    Ok(writeln!(stdout().lock(), "{document}")?)
}
