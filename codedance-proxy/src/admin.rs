//! What Prometheus asks for.

use std::convert::Infallible;
use std::sync::Arc;

use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::answer::Answer;
use crate::connection::{ConnectionTimer, serve_http1};
use crate::exposition;
use crate::inbound::Guard;
use crate::limits::Limits;
use crate::phase::Phase;
use crate::server::Plane;

pub(crate) async fn serve_admin(
    plane: Arc<Plane>,
    stream: TcpStream,
    phase: watch::Receiver<Phase>,
) {
    let limits = Limits::default();
    let stream = Guard::new(stream, limits, plane.config.send_timeout);
    let (plane, verdict) = (&*plane, &*stream.verdict());
    let answer = |request: Request<Incoming>| async move {
        Ok::<_, Infallible>(match verdict.on(request.method()) {
            Some(refusal) => Answer::refuse(refusal),
            None => admin(plane, &request),
        })
    };
    let header_timeout = plane.config.header_timeout;
    let timer = ConnectionTimer::new();
    serve_http1(stream, limits, header_timeout, timer, phase, answer, || {
        None
    })
    .await;
}

fn admin(plane: &Plane, request: &Request<Incoming>) -> Response<Answer> {
    if request.uri().path() != plane.config.metrics_path {
        return Answer::text(StatusCode::NOT_FOUND, "there is nothing here");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = Answer::text(StatusCode::METHOD_NOT_ALLOWED, "this can only be read");
        let allowed = HeaderValue::from_static("GET, HEAD");
        refusal.headers_mut().insert(ALLOW, allowed);
        return refusal;
    }
    let mut page = exposition::render(&plane.routing, &plane.config);
    if let Some(tls) = &plane.tls {
        page += &exposition::render_tls(tls);
    }
    if let Some(log) = &plane.log {
        page += &exposition::render_log(log);
    }
    let mut response = Response::new(Answer::Text(Some(page.into())));
    let kind = HeaderValue::from_static(exposition::CONTENT_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
