//! What a request asks for that is billed beside the tokens of its model: tools that run at the provider, models that such
//! tools call, and what an endpoint counts instead of tokens.
//!
//! Says what is named; whether it has a price is for others to say.

use std::borrow::Cow;

use serde_json::value::RawValue;
use tollgate_core::price::Unit;

use super::{
    error::RequestError,
    fields::{Fields, text},
};
use crate::upstream::endpoint::Endpoint;

/// Something that is billed by a unit beside tokens, or instead of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// The tool, as the body names it, or the path.
    pub name: Cow<'static, str>,
    /// The field that names it; none: the endpoint is metered so.
    pub field: Option<&'static str>,
    /// What it is billed by.
    pub unit: Unit,
    /// Whether a price of tokens is as good: the answer says which of both counts.
    pub or_tokens: bool,
}

/// What a body names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosted {
    /// What is billed by units.
    pub needs: Vec<Need>,
    /// The provider's names of other models that may be called within the request.
    pub models: Vec<String>,
}

/// Fields of the body that switch a search of the web on.
const SEARCH_FIELDS: &[&str] = &["web_search_options", "search_parameters"];
/// A tool of Gemini's is a field of an object. A search of maps or of an enterprise's web is one, too.
const GEMINI_SEARCHES: &[&[&str]] = &[
    &["googleSearch", "google_search"],
    &["googleSearchRetrieval", "google_search_retrieval"],
    &["enterpriseWebSearch", "enterprise_web_search"],
    &["googleMaps", "google_maps"],
];

impl Hosted {
    /// What an endpoint is metered by where that is not tokens, whatever the body says.
    pub(super) fn of_endpoint(endpoint: Endpoint) -> Self {
        let (unit, or_tokens) = match endpoint {
            // Speech tells no usage.
            Endpoint::Speech => (Unit::Character, false),
            Endpoint::Transcriptions => (Unit::AudioInputSecond, true),
            Endpoint::ImageGenerations | Endpoint::ImageEdits => (Unit::Image, true),
            Endpoint::CohereRerank | Endpoint::CohereRerankV1 => (Unit::RerankUnit, true),
            _ => return Self::default(),
        };
        let need = Need { name: endpoint.path().into(), field: None, unit, or_tokens };
        Self { needs: vec![need], models: Vec::new() }
    }

    /// Reads a JSON body.
    pub(super) fn read(endpoint: Endpoint, fields: &Fields<'_>) -> Result<Self, RequestError> {
        let mut hosted = Self::of_endpoint(endpoint);
        match endpoint {
            Endpoint::Responses | Endpoint::Messages | Endpoint::InvokeModel | Endpoint::InvokeModelStream => {}
            Endpoint::ChatCompletions => {
                for field in SEARCH_FIELDS {
                    let Some(raw) = fields.get(&[field])? else { continue };
                    let object = Some(raw).filter(|raw| raw.starts_with('{')).map(Fields::read).transpose()?;
                    let mode = object.map(|object| object.get(&["mode"])).transpose()?.flatten();
                    if text(mode).as_deref() != Some("off") {
                        hosted.needs.push(need((*field).into(), field, Unit::WebSearch));
                    }
                }
                for plugin in objects(fields.get(&["plugins"])?) {
                    let plugin = Fields::read(plugin)?;
                    let is_on = plugin.get(&["enabled"])? != Some("false");
                    if let Some(id) = text(plugin.get(&["id"])?).filter(|id| is_on && id == "web") {
                        hosted.needs.push(need(id.into(), "plugins", Unit::WebSearch));
                    }
                }
            }
            Endpoint::Interactions => {}
            Endpoint::GenerateContent | Endpoint::StreamGenerateContent => {
                for tool in objects(fields.get(&["tools"])?) {
                    hosted.take_gemini(&Fields::read(tool)?)?;
                }
                return Ok(hosted);
            }
            Endpoint::Converse | Endpoint::ConverseStream => {
                hosted.take_converse(fields)?;
                return Ok(hosted);
            }
            _ => return Ok(hosted),
        }
        for tool in objects(fields.get(&["tools"])?) {
            hosted.take_typed(&Fields::read(tool)?)?;
        }
        Ok(hosted)
    }

    /// A tool with a type. A function of the client's has the type `function` or `custom`, or none, and runs there.
    fn take_typed(&mut self, tool: &Fields<'_>) -> Result<(), RequestError> {
        let Some(kind) = text(tool.get(&["type"])?) else { return Ok(()) };
        if kind.starts_with("advisor")
            && let Some(model) = text(tool.get(&["model"])?)
        {
            self.models.push(model);
        }
        if let Some(unit) = unit_of(&kind) {
            self.needs.push(need(kind.into(), "tools", unit));
        }
        Ok(())
    }

    fn take_gemini(&mut self, tool: &Fields<'_>) -> Result<(), RequestError> {
        for names in GEMINI_SEARCHES {
            if let (Some(_), Some(name)) = (tool.get(names)?, names.first()) {
                self.needs.push(need((*name).into(), "tools", Unit::WebSearch));
            }
        }
        Ok(())
    }

    fn take_converse(&mut self, fields: &Fields<'_>) -> Result<(), RequestError> {
        let Some(config) = fields.get(&["toolConfig"])?.filter(|raw| raw.starts_with('{')) else { return Ok(()) };
        for tool in objects(Fields::read(config)?.get(&["tools"])?) {
            let system = Fields::read(tool)?.get(&["systemTool"])?.filter(|raw| raw.starts_with('{'));
            let name = system.map(|raw| Fields::read(raw)?.get(&["name"])).transpose()?.flatten();
            if let Some(name) = text(name).filter(|name| name == "nova_grounding") {
                self.needs.push(need(name.into(), "toolConfig", Unit::WebSearch));
            }
        }
        Ok(())
    }
}

/// What a type of tool is billed by, where it is counted in answers. What an MCP server or a fetched page costs is tokens.
fn unit_of(kind: &str) -> Option<Unit> {
    match kind {
        "google_search" | "google_maps" | "openrouter:web_search" => Some(Unit::WebSearch),
        "file_search" | "code_interpreter" | "x_search" | "retrieval" => Some(Unit::ToolCall),
        "image_generation" => Some(Unit::Image),
        _ if kind.starts_with("web_search") => Some(Unit::WebSearch),
        _ => None,
    }
}

const fn need(name: Cow<'static, str>, field: &'static str, unit: Unit) -> Need {
    Need { name, field: Some(field), unit, or_tokens: false }
}

/// The objects of a list, or the one that stands where a list should. What is none is for the provider to refuse.
fn objects(raw: Option<&str>) -> impl Iterator<Item = &str> {
    let list: Vec<&RawValue> = raw.and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default();
    raw.into_iter().chain(list.into_iter().map(RawValue::get)).filter(|raw| raw.starts_with('{'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(endpoint: Endpoint, body: &str) -> Hosted {
        Hosted::read(endpoint, &Fields::read(body).unwrap()).unwrap()
    }

    #[test]
    fn what_is_switched_off_is_not_asked_for_and_a_lone_tool_is_one() {
        let chat = |body| read(Endpoint::ChatCompletions, body).needs.len();
        assert_eq!(chat(r#"{"search_parameters":{"mode":"off"},"plugins":[{"id":"web","enabled":false}]}"#), 0);
        assert_eq!(chat(r#"{"search_parameters":{"mode":"auto"},"plugins":[{"id":"web","enabled":true}]}"#), 2);
        assert_eq!(chat(r#"{"search_parameters":{}}"#), 1);
        assert_eq!(read(Endpoint::GenerateContent, r#"{"tools":{"google_search":{}}}"#).needs.len(), 1);
    }

    #[test]
    fn tools_that_run_at_the_provider_are_told_from_the_clients_in_every_dialect() {
        for (endpoint, body, expected) in [
            (
                Endpoint::Responses,
                r#"{"tools":[{"type":"function","name":"web_search"},{"type":"web_search_preview"},{"type":"mcp"},{"type":"image_generation"},{"type":"file_search"}]}"#,
                vec![
                    ("web_search_preview", Unit::WebSearch),
                    ("image_generation", Unit::Image),
                    ("file_search", Unit::ToolCall),
                ],
            ),
            (
                Endpoint::ChatCompletions,
                r#"{"web_search_options":{},"plugins":[{"id":"file-parser"},{"id":"web"}],"tools":[{"type":"function","function":{"name":"google_search"}}]}"#,
                vec![("web_search_options", Unit::WebSearch), ("web", Unit::WebSearch)],
            ),
            (
                Endpoint::Messages,
                r#"{"tools":[{"name":"web_search"},{"type":"web_search_20250305","name":"web_search"},{"type":"web_fetch_20250910"}]}"#,
                vec![("web_search_20250305", Unit::WebSearch)],
            ),
            (
                Endpoint::GenerateContent,
                r#"{"tools":[{"functionDeclarations":[]},{"google_search":{}},{"urlContext":{}},{"googleMaps":{}}]}"#,
                vec![("googleSearch", Unit::WebSearch), ("googleMaps", Unit::WebSearch)],
            ),
            (
                Endpoint::Interactions,
                r#"{"tools":[{"type":"google_search"}]}"#,
                vec![("google_search", Unit::WebSearch)],
            ),
            (
                Endpoint::Converse,
                r#"{"toolConfig":{"tools":[{"toolSpec":{}},{"systemTool":{"name":"nova_grounding"}}]}}"#,
                vec![("nova_grounding", Unit::WebSearch)],
            ),
            (Endpoint::Speech, "{}", vec![("/v1/audio/speech", Unit::Character)]),
            (Endpoint::Responses, r#"{"tools":[7,null,"x",[]]}"#, vec![]),
            (Endpoint::Responses, r#"{"tools":{"type":"web_search"}}"#, vec![("web_search", Unit::WebSearch)]),
        ] {
            let hosted = read(endpoint, body);
            let found: Vec<_> = hosted.needs.iter().map(|need| (&*need.name, need.unit)).collect();
            assert_eq!(found, expected, "{body}");
        }
    }

    #[test]
    fn a_tools_type_may_stand_once_only() {
        let fields = r#"{"tools":[{"type":"function","type":"web_search"}]}"#;
        let read = Hosted::read(Endpoint::Responses, &Fields::read(fields).unwrap());
        assert!(matches!(read, Err(RequestError::Duplicate(_))));
    }

    #[test]
    fn the_model_of_an_advisor_is_read() {
        let body =
            r#"{"tools":[{"type":"advisor_20260301","name":"advisor","model":"dear"},{"name":"f","model":"x"}]}"#;
        assert_eq!(read(Endpoint::Messages, body).models, ["dear"]);
    }
}
