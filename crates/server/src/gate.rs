//! What a request has to pass before anything is done: who it says it calls, where the page comes from
//! that makes it, and who it is.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, StatusCode, header, request::Parts};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::document::Route;
use crate::reply::Refusal;
use crate::shared::Shared;
use crate::tokens::{Grant, Scope};

/// From where a connection comes, and where it has arrived.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) peer: SocketAddr,
    pub(crate) own: SocketAddr,
}

fn single(headers: &HeaderMap, name: header::HeaderName) -> Result<Option<&[u8]>, Refusal> {
    let mut all = headers.get_all(&name).iter();
    match (all.next(), all.next()) {
        (first, None) => Ok(first.map(|value| value.as_bytes())),
        _ => {
            let message = format!("the header {name} is given twice");
            Err(Refusal::new(StatusCode::BAD_REQUEST, "InvalidInput", message, "give it once"))
        }
    }
}

/// A host without its port, in lower case.
fn host_name(authority: &str) -> &str {
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    }
}

/// Whether a request calls this server by one of its names. A page of the web whose name was made to lead
/// here (DNS rebinding) calls it by the name of that page.
pub(crate) fn check_host(shared: &Shared, parts: &Parts, ends: Ends) -> Result<String, Refusal> {
    let given = single(&parts.headers, header::HOST)?;
    let refused = || {
        Refusal::new(
            StatusCode::MISDIRECTED_REQUEST,
            "Misdirected",
            "the Host of the request is none of this server's",
            "call it by its address, or start it with --allow-host NAME",
        )
    };
    let authority = std::str::from_utf8(given.ok_or_else(refused)?).map_err(|_| refused())?;
    let authority = authority.to_ascii_lowercase();
    let host = host_name(&authority);
    let known = match host.parse::<IpAddr>() {
        Ok(address) => {
            address == ends.own.ip() || address.is_loopback() && ends.own.ip().is_loopback()
        }
        Err(_) => host == "localhost" && ends.own.ip().is_loopback(),
    };
    let named = shared.options.hosts.iter().any(|name| name.eq_ignore_ascii_case(host));
    if known || named { Ok(authority) } else { Err(refused()) }
}

/// Whether the page that makes a request, if one does, is of this server or was allowed.
pub(crate) fn check_origin(shared: &Shared, parts: &Parts, authority: &str) -> Result<(), Refusal> {
    let Some(origin) = single(&parts.headers, header::ORIGIN)? else { return Ok(()) };
    let own = [format!("http://{authority}"), format!("https://{authority}")];
    let allowed = own.iter().chain(&shared.options.origins);
    if allowed.into_iter().any(|known| known.as_bytes().eq_ignore_ascii_case(origin)) {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        "Forbidden",
        "pages of this Origin may not call this server",
        "start it with --allow-origin ORIGIN",
    ))
}

/// What the token of a page stands behind in the protocols that it offers, in base64 of addresses.
const TOKEN_PROTOCOL: &str = "token.";

/// The token of a request. A page can give a WebSocket no headers of its own, but protocols.
fn token_of(headers: &HeaderMap, socket: bool) -> Result<Option<Vec<u8>>, Refusal> {
    if let Some(value) = single(headers, header::AUTHORIZATION)? {
        let token =
            value.split_at_checked(7).filter(|(kind, _)| kind.eq_ignore_ascii_case(b"bearer "));
        return Ok(Some(token.map(|(_, token)| token.to_vec()).unwrap_or_default()));
    }
    if !socket {
        return Ok(None);
    }
    let offered = single(headers, header::SEC_WEBSOCKET_PROTOCOL)?.unwrap_or_default();
    let offered = std::str::from_utf8(offered).unwrap_or_default().split(',');
    let token = offered.into_iter().find_map(|it| it.trim().strip_prefix(TOKEN_PROTOCOL));
    Ok(token.map(|token| BASE64_URL_SAFE_NO_PAD.decode(token).unwrap_or_default()))
}

/// What the token of a request allows, if that is enough for the route.
pub(crate) fn check_token(
    shared: &Shared,
    route: &Route,
    headers: &HeaderMap,
    socket: bool,
    ends: Ends,
) -> Result<Grant, Refusal> {
    let tokens = &shared.options.tokens;
    let near = route.scope.is_none() && ends.peer.ip().is_loopback();
    if tokens.is_empty() || route.open || near {
        return Ok(Grant::ALL);
    }
    let given = token_of(headers, socket)?;
    let Some(grant) = given.as_deref().and_then(|token| tokens.find(token)) else {
        return Err(unknown(shared, given.is_some(), ends.peer.ip()));
    };
    let needed = route.scope.unwrap_or(Scope::Read);
    if grant.scope < needed {
        return Err(forbidden("the token may only read", "use one that may write"));
    }
    if route.whole && grant.namespaces.is_some() {
        let message = "the token is for single namespaces, and this is about the whole database";
        return Err(forbidden(message, "use one for the whole database"));
    }
    Ok(grant.clone())
}

/// Whether a token is for the namespace that is asked for.
pub(crate) fn check_namespace(grant: &Grant, namespace: &str) -> Result<(), Refusal> {
    if grant.allows(namespace) {
        return Ok(());
    }
    let hint = "name one of its own with ?namespace=, or use another token";
    Err(forbidden("the token is not for this namespace", hint))
}

fn forbidden(message: &str, hint: &'static str) -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "Forbidden", message, hint)
}

fn unknown(shared: &Shared, given: bool, from: IpAddr) -> Refusal {
    if given && shared.guessed(from) {
        return Refusal::later(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequests",
            "too many wrong tokens came from this address",
            "use the right one; wrong ones are looked at again in a minute",
            60,
        );
    }
    let message = if given { "the token is not known" } else { "a token is needed" };
    let hint = "send the header Authorization: Bearer TOKEN";
    Refusal::new(StatusCode::UNAUTHORIZED, "Unauthorized", message, hint)
}

/// Whether a writing request says that it is JSON: a form of a page of the web cannot.
pub(crate) fn check_content(route: &Route, headers: &HeaderMap) -> Result<(), Refusal> {
    // A form can send a POST, and nothing else that writes.
    if !route.has_body() && route.method != "POST" {
        return Ok(());
    }
    let refused = |message: &str, hint| {
        Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message, hint))
    };
    if headers.contains_key(header::CONTENT_ENCODING) {
        return refused("the body is compressed", "send it as it is");
    }
    let kind = single(headers, header::CONTENT_TYPE)?.unwrap_or_default();
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if kind.eq_ignore_ascii_case(b"application/json") {
        return Ok(());
    }
    refused(
        "the Content-Type is not application/json",
        "send the header Content-Type: application/json",
    )
}

#[cfg(test)]
mod tests {
    use super::host_name;

    #[test]
    fn the_port_is_no_part_of_a_host() {
        for (given, host) in [
            ("localhost", "localhost"),
            ("localhost:8080", "localhost"),
            ("127.0.0.1:1", "127.0.0.1"),
            ("[::1]:8080", "::1"),
            ("[::1]", "::1"),
            ("evil.example:80", "evil.example"),
        ] {
            assert_eq!(host_name(given), host);
        }
    }
}
