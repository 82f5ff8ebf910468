//! `/v1/files`

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Asked, Broken, Inner, Told, number};
use crate::answer::CREATED;

#[derive(Debug)]
pub(super) struct File {
    purpose: String,
    pub(super) content: Bytes,
}

impl File {
    fn told(&self, id: u64) -> Value {
        json!({
            "id": name(id), "object": "file", "bytes": self.content.len(), "created_at": CREATED,
            "filename": "file.jsonl", "purpose": self.purpose, "status": "processed", "status_details": null,
            "expires_at": null,
        })
    }
}

pub(super) fn name(id: u64) -> String {
    format!("file-fake{id:012}")
}

impl Inner {
    pub(super) fn write_file(&mut self, purpose: &str, content: Bytes) -> u64 {
        let id = self.next();
        self.files.insert(id, File { purpose: purpose.to_owned(), content });
        id
    }

    pub(super) fn files(&mut self, asked: &Asked<'_>, rest: &[&str]) -> Told {
        match (asked.method, rest) {
            (&Method::POST, []) => {
                let field = |name: &str| part(asked.body, name);
                let (Some(purpose), Some(content)) = (field("purpose"), field("file")) else {
                    return Told::refused(StatusCode::BAD_REQUEST, "The form has no file or no purpose.");
                };
                let purpose = String::from_utf8_lossy(&purpose).into_owned();
                let id = self.write_file(&purpose, content);
                let told = self.files.get(&id).map(|file| file.told(id)).unwrap_or_default();
                Told { broken: self.plan.make, ..Told::json(&told) }
            }
            (&Method::GET, []) => {
                let data: Vec<Value> = self.files.iter().rev().map(|(id, file)| file.told(*id)).collect();
                Told::json(&json!({"object": "list", "data": data, "has_more": false}))
            }
            (method, [id, rest @ ..]) => {
                let Some((number, file)) = number(id).and_then(|n| Some((n, self.files.get(&n)?))) else {
                    return Told::missing(id);
                };
                match (method, rest) {
                    (&Method::GET, []) => Told::json(&file.told(number)),
                    (&Method::GET, ["content"]) => {
                        let broken = self.plan.results.filter(|_| file.purpose == "batch_output");
                        results(file.content.clone(), broken, id)
                    }
                    (&Method::DELETE, []) => {
                        self.files.remove(&number);
                        Told::json(&json!({"id": id, "object": "file", "deleted": true}))
                    }
                    _ => Told::missing(id),
                }
            }
            _ => Told::missing(""),
        }
    }
}

/// Results as they are read.
pub(super) fn results(content: Bytes, broken: Option<Broken>, id: &str) -> Told {
    match broken {
        Some(Broken::Gone) => Told::missing(id),
        Some(Broken::Damaged) => Told { status: StatusCode::OK, body: "<html>\n".into(), broken: None },
        broken => Told { status: StatusCode::OK, body: content, broken },
    }
}

/// The content of a part of a form.
fn part(form: &Bytes, name: &str) -> Option<Bytes> {
    let find = |haystack: &[u8], needle: &[u8]| haystack.windows(needle.len()).position(|window| window == needle);
    let boundary_end = find(form, b"\r\n")?;
    let boundary = [b"\r\n", form.get(..boundary_end)?].concat();
    let head = find(form, format!("name=\"{name}\"").as_bytes())?;
    let begin = head + find(form.get(head..)?, b"\r\n\r\n")? + 4;
    let length = find(form.get(begin..)?, &boundary)?;
    Some(form.slice(begin..begin + length))
}
