//! The OpenAPI document is the table of routes: paths, methods, scopes, parameters and bodies stand there
//! and nowhere else, and requests are checked by it. So it cannot differ from what the server does.

use embedded_db_engine::common::Value;

use crate::fields::Fields;
use crate::json;
use crate::schema::{Named, Schema, Wrong};
use crate::tokens::Scope;

/// The document as it is served.
pub(crate) const DOCUMENT: &str = include_str!("openapi.json");

/// The whole document, read.
pub(crate) struct Document {
    pub(crate) routes: Vec<Route>,
    named: Named,
}

/// One method of one path.
pub(crate) struct Route {
    pub(crate) path: String,
    /// In capitals.
    pub(crate) method: String,
    pub(crate) operation: String,
    /// What a token needs; `None` for what tells nothing of the data.
    pub(crate) scope: Option<Scope>,
    /// Whether it is about the whole database, and not for tokens of single namespaces.
    pub(crate) whole: bool,
    /// Whether it is for everybody, wherever they are: the files of the page, which hold no data.
    pub(crate) open: bool,
    parameters: Vec<Parameter>,
    body: Option<Schema>,
}

struct Parameter {
    name: String,
    in_path: bool,
    required: bool,
    schema: Schema,
}

impl Document {
    pub(crate) fn read() -> Result<Self, String> {
        let document = json::read(DOCUMENT.as_bytes())?;
        let document = Fields::of_any(&document);
        let components = document.fields("components").ok_or("no components")?;
        let schemas = components.fields("schemas").ok_or("no schemas")?;
        let named =
            schemas.iter().map(|(name, schema)| Ok((name.to_owned(), Schema::parse(schema)?)));
        let named = named.collect::<Result<Named, String>>()?;
        let shared = components.fields("parameters").ok_or("no parameters")?;
        let mut routes = Vec::new();
        for (path, methods) in document.fields("paths").ok_or("no paths")?.iter() {
            for (method, operation) in Fields::of_any(methods).iter() {
                let route = Route::parse(path, method, Fields::of_any(operation), shared);
                routes.push(route.map_err(|error| format!("{method} {path}: {error}"))?);
            }
        }
        Ok(Self { routes, named })
    }

    /// The parameters of a call, path and query together, as values.
    pub(crate) fn parameters(
        &self,
        route: &Route,
        path: &[(String, String)],
        query: &[(String, String)],
    ) -> Result<Vec<(String, Value)>, Wrong> {
        let mut out: Vec<(String, Value)> = Vec::new();
        for (name, text) in path.iter().chain(query) {
            let wrong = |message: &str| Wrong { path: name.clone(), message: message.to_owned() };
            let known = route.parameters.iter().find(|known| known.name == *name);
            let parameter = known.ok_or_else(|| wrong("it is no parameter of this route"))?;
            let value = parameter.schema.of_parameter(text);
            let given = out.iter_mut().find(|(given, _)| given == name);
            match (parameter.schema.is_list(), given) {
                (true, Some((_, Value::List(items)))) => items.push(value),
                (true, _) => out.push((name.clone(), Value::List(vec![value]))),
                (false, None) => out.push((name.clone(), value)),
                (false, Some(_)) => return Err(wrong("it is given twice")),
            }
        }
        for parameter in &route.parameters {
            let wrong = |wrong: Wrong| Wrong {
                path: format!("{}{}", parameter.name, wrong.path),
                message: wrong.message,
            };
            match out.iter().find(|(name, _)| *name == parameter.name) {
                Some((_, value)) => parameter.schema.check(&self.named, value).map_err(wrong)?,
                None if parameter.required || parameter.in_path => {
                    return Err(wrong(Wrong {
                        path: String::new(),
                        message: "it is missing".into(),
                    }));
                }
                None => {}
            }
        }
        Ok(out)
    }

    /// Whether a body is as the route has it.
    pub(crate) fn check_body(&self, route: &Route, body: &Value) -> Result<(), Wrong> {
        route.body.as_ref().map_or(Ok(()), |schema| schema.check(&self.named, body))
    }
}

impl Route {
    fn parse(
        path: &str,
        method: &str,
        operation: Fields<'_>,
        shared: Fields<'_>,
    ) -> Result<Self, String> {
        let security = operation.list("security").ok_or("it says nothing of security")?;
        let open = security.first().is_some_and(|it| Fields::of_any(it).iter().next().is_none());
        let scopes = security.first().map(|it| Fields::of_any(it).texts("token"));
        let scopes = scopes.unwrap_or_default();
        let scope = match scopes.first().map(String::as_str) {
            None => None,
            Some("read") => Some(Scope::Read),
            Some("write") => Some(Scope::Write),
            Some(other) => return Err(format!("the scope {other:?}")),
        };
        let parameters = operation.list("parameters").unwrap_or_default();
        let body = operation.fields("requestBody").and_then(|it| it.fields("content"));
        let body = body.and_then(|it| it.fields("application/json"));
        Ok(Self {
            path: path.to_owned(),
            method: method.to_uppercase(),
            operation: operation.owned("operationId").ok_or("no operationId")?,
            scope,
            whole: scopes.iter().any(|scope| scope == "database"),
            open,
            parameters: parameters
                .iter()
                .map(|it| Parameter::parse(Fields::of_any(it), shared))
                .collect::<Result<_, _>>()?,
            body: body.and_then(|it| it.get("schema")).map(Schema::parse).transpose()?,
        })
    }

    /// Whether it takes a body.
    pub(crate) fn has_body(&self) -> bool {
        self.body.is_some()
    }
}

impl Parameter {
    fn parse(given: Fields<'_>, shared: Fields<'_>) -> Result<Self, String> {
        if let Some(name) = given.text("$ref") {
            let name = name.strip_prefix("#/components/parameters/").ok_or("an odd $ref")?;
            return Self::parse(shared.fields(name).ok_or("a $ref to nothing")?, shared);
        }
        Ok(Self {
            name: given.owned("name").ok_or("no name")?,
            in_path: given.text("in") == Some("path"),
            required: given.flag("required"),
            schema: Schema::parse(given.get("schema").ok_or("no schema")?)?,
        })
    }
}
