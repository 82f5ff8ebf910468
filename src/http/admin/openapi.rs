//! The admin API's OpenAPI document: made from the routes themselves, so that it cannot say what they do not.

use axum::{Json, response::IntoResponse};
use utoipa::{
    PartialSchema,
    openapi::{
        self, ContentBuilder, InfoBuilder, OpenApiBuilder, RefOr, ResponseBuilder,
        path::PathItem,
        schema::Ref,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{described, problem::ProblemBody};

/// The document.
#[must_use]
pub fn document() -> openapi::OpenApi {
    let info = InfoBuilder::new()
        .title("Tollgate admin API")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .build();
    let mut document = OpenApiBuilder::new().info(info).build();
    let (_, api) = described().split_for_parts();
    document = document.nest("/admin/v1", api);
    let components = document.components.get_or_insert_default();
    components.schemas.insert("Problem".to_owned(), ProblemBody::schema());
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("The admin token")).build();
    components.add_security_scheme("admin_token", SecurityScheme::Http(bearer));
    document.security = Some(vec![SecurityRequirement::new("admin_token", Vec::<String>::new())]);
    for (path, item) in &mut document.paths.paths {
        finish(path, item);
    }
    document
}

const ABOUT: &str = "The books: customers, keys, prices, usage, requests, statements, training runs, economics. Money is decimal \
    text of US dollars, exact to the nano-dollar; times are RFC 3339 UTC; errors are RFC 9457 problems with a stable `code`. \
    Lists come in pages: `next` of one is `cursor` of the next, and null on the last.";

/// Every operation has an id of its own, and may answer with a problem.
fn finish(path: &str, item: &mut PathItem) {
    let place = path.trim_start_matches("/admin/v1/").replace(['/', '-'], "_").replace(['{', '}'], "");
    let operations = [("get", &mut item.get), ("post", &mut item.post)];
    for (method, operation) in operations {
        let Some(operation) = operation else { continue };
        operation.operation_id = Some(format!("{method}_{place}"));
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response = ResponseBuilder::new()
            .description("Refused, or failed")
            .content("application/problem+json", content)
            .build();
        operation.responses.responses.insert("default".to_owned(), RefOr::T(response));
    }
}

/// `GET /openapi.json`
pub(super) async fn document_json() -> impl IntoResponse {
    Json(document())
}
