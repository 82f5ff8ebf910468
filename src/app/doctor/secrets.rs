//! Secrets that lie in files: there, ours, and nobody else's to read.

use std::{io, os::unix::fs::MetadataExt, path::Path};

use super::{Finding, shown};
use crate::config::{Config, secret::Secret};

/// Everybody but the owner.
const OTHERS: u32 = 0o077;
/// Where containers have their secrets.
const MOUNTED: &str = "/run/secrets";
/// Shortest admin token that a gateway accepts.
const ADMIN_TOKEN_LEN_MIN: usize = 20;

pub(super) fn examine(config: &Config, checks: &mut Vec<Finding>) {
    let data_dir = &config.server.data_dir;
    folder(data_dir, checks);
    for (configured, name) in [(&config.pepper, "pepper"), (&config.admin_token, "admin-token")] {
        match configured {
            Some(secret) => referenced(name, secret, checks),
            None => {
                let path = data_dir.join(name);
                if path.exists() {
                    file(name, &path, checks);
                } else {
                    let what = format!("{} is not there yet", shown(&path));
                    checks.push(Finding::note("secrets", what, "the first start makes it; back it up then"));
                }
            }
        }
    }
    if let Some(Ok(token)) = config.admin_token.as_ref().map(Secret::read)
        && token.len() < ADMIN_TOKEN_LEN_MIN
    {
        let what = format!("the admin token has fewer than {ADMIN_TOKEN_LEN_MIN} characters: a gateway does not start");
        checks.push(Finding::bad("secrets", what, "use a longer one, such as `openssl rand -hex 32` makes"));
    }
    for provider in &config.providers {
        // One that cannot be read is told by the check of the configuration.
        for secret in provider.secrets().filter(|secret| secret.read().is_ok()) {
            referenced(&format!("key of provider {}", provider.name), secret, checks);
        }
    }
    if let Some(headers) = config.telemetry.otlp.as_ref().and_then(|otlp| otlp.headers.as_ref()) {
        referenced("headers of the collector", headers, checks);
    }
}

fn referenced(name: &str, secret: &Secret, checks: &mut Vec<Finding>) {
    if let Err(error) = secret.read() {
        return checks.push(Finding::bad("secrets", format!("{name}: {error}"), "set the variable, or write the file"));
    }
    if let Secret::File(path) = secret {
        file(name, path, checks);
    }
}

fn folder(path: &Path, checks: &mut Vec<Finding>) {
    match mode(path) {
        Ok(mode) if mode & OTHERS != 0 => {
            let what = format!("others may look into {} (mode {mode:04o})", shown(path));
            checks.push(Finding::bad("secrets", what, format!("chmod 700 {}", shown(path))));
        }
        Ok(_) => checks.push(Finding::ok("secrets", format!("{} is closed to others", shown(path)))),
        // Told by the check of the disk.
        Err(_) => {}
    }
}

fn file(name: &str, path: &Path, checks: &mut Vec<Finding>) {
    checks.push(match mode(path) {
        // Mounted into a container: others are nobody there, and what the host lets in is not seen from inside.
        Ok(mode) if mode & OTHERS != 0 && path.starts_with(MOUNTED) => {
            let what = format!("{name}: {} is mounted (mode {mode:04o})", shown(path));
            Finding::note("secrets", what, "see to it that its folder on the host is closed to others")
        }
        Ok(mode) if mode & OTHERS != 0 => {
            let what = format!("{name}: others may read {} (mode {mode:04o})", shown(path));
            Finding::bad("secrets", what, format!("chmod 600 {}, and replace what others may have read", shown(path)))
        }
        Ok(_) => Finding::ok("secrets", format!("{name}: {} is closed to others", shown(path))),
        Err(error) => Finding::bad("secrets", format!("{name}: {}: {error}", shown(path)), "let this user read it"),
    });
}

fn mode(path: &Path) -> io::Result<u32> {
    Ok(std::fs::metadata(path)?.mode() & 0o7777)
}
