//! `/v1/responses/{id}` and `/v1/conversations`

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::{Asked, Inner, Told};
use crate::answer::CREATED;

#[derive(Debug, Default)]
pub(super) struct Conversation {
    metadata: Value,
    items: BTreeMap<String, Value>,
}

impl Conversation {
    fn told(&self, id: &str) -> Value {
        json!({"id": id, "object": "conversation", "created_at": CREATED, "metadata": self.metadata})
    }
}

fn list(data: &[Value]) -> Value {
    let edge = |item: Option<&Value>| item.map(|item| item["id"].clone());
    json!({"object": "list", "data": data, "first_id": edge(data.first()), "last_id": edge(data.last()), "has_more": false})
}

impl Inner {
    pub(super) fn keep_response(&mut self, id: &str, asked: &Value) {
        let told = json!({
            "id": id, "object": "response", "created_at": CREATED, "status": "completed", "model": asked["model"],
            "output": [], "parallel_tool_calls": true, "tool_choice": "auto", "tools": [], "metadata": {},
            "previous_response_id": asked["previous_response_id"], "error": null, "incomplete_details": null,
            "instructions": null, "input": asked["input"],
        });
        self.responses.insert(id.to_owned(), told);
    }

    pub(super) fn goes_on(&self, asked: &Value) -> Result<(), String> {
        if let Some(id) = asked["previous_response_id"].as_str()
            && !self.responses.contains_key(id)
        {
            return Err(format!("Previous response with id '{id}' not found."));
        }
        let conversation = asked["conversation"].as_str().or(asked["conversation"]["id"].as_str());
        match conversation {
            Some(id) if !self.conversations.contains_key(id) => Err(format!("Conversation with id '{id}' not found.")),
            _ => Ok(()),
        }
    }

    pub(super) fn response(&mut self, method: &Method, id: &str, rest: &[&str]) -> Told {
        let Some(response) = self.responses.get(id) else { return Told::missing(id) };
        match (method, rest) {
            (&Method::GET, []) => Told::json(response),
            (&Method::GET, ["input_items"]) => {
                let item = json!({"id": "msg_in", "type": "message", "role": "user", "status": "completed",
                    "content": [{"type": "input_text", "text": response["input"]}]});
                Told::json(&list(&[item]))
            }
            (&Method::DELETE, []) => {
                self.responses.remove(id);
                Told::json(&json!({"id": id, "object": "response", "deleted": true}))
            }
            _ => {
                Told::refused(http::StatusCode::BAD_REQUEST, "Cannot cancel a response that is not in the background.")
            }
        }
    }

    pub(super) fn conversations(&mut self, asked: &Asked<'_>, rest: &[&str]) -> Told {
        let body: Value = serde_json::from_slice(asked.body).unwrap_or_default();
        if let (&Method::POST, []) = (asked.method, rest) {
            let id = format!("conv_fake{:012}", self.next());
            let mut made = Conversation { metadata: body["metadata"].clone(), ..Conversation::default() };
            let items = body["items"].as_array().cloned().unwrap_or_default();
            add(&mut made, items, &mut self.last);
            let told = made.told(&id);
            self.conversations.insert(id, made);
            return Told { broken: self.plan.make, ..Told::json(&told) };
        }
        let [id, rest @ ..] = rest else { return Told::missing("") };
        let Some(conversation) = self.conversations.get_mut(*id) else { return Told::missing(id) };
        match (asked.method, rest) {
            (&Method::GET, []) => Told::json(&conversation.told(id)),
            (&Method::POST, []) => {
                conversation.metadata = body["metadata"].clone();
                Told::json(&conversation.told(id))
            }
            (&Method::DELETE, []) => {
                self.conversations.remove(*id);
                Told::json(&json!({"id": id, "object": "conversation.deleted", "deleted": true}))
            }
            (&Method::GET, ["items"]) => Told::json(&list(&conversation.items.values().cloned().collect::<Vec<_>>())),
            (&Method::POST, ["items"]) => {
                let items = body["items"].as_array().cloned().unwrap_or_default();
                Told::json(&list(&add(conversation, items, &mut self.last)))
            }
            (&Method::GET, ["items", item]) => match conversation.items.get(*item) {
                Some(found) => Told::json(found),
                None => Told::missing(item),
            },
            (&Method::DELETE, ["items", item]) => {
                conversation.items.remove(*item);
                Told::json(&conversation.told(id))
            }
            _ => Told::missing(id),
        }
    }
}

fn add(conversation: &mut Conversation, items: Vec<Value>, last: &mut u64) -> Vec<Value> {
    let mut added = Vec::new();
    for mut item in items {
        *last += 1;
        let id = format!("msg_fake{last:012}");
        item["id"] = id.clone().into();
        item["status"] = "completed".into();
        if let Some(text) = item["content"].as_str().map(str::to_owned) {
            item["content"] = json!([{"type": "input_text", "text": text}]);
        }
        conversation.items.insert(id, item.clone());
        added.push(item);
    }
    added
}
