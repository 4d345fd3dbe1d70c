//! The bare issue path in Rust: hyper and ring on one thread, nothing else. Writes its address and, for each line on
//! stdin, what it has used so far, as JSON lines to file descriptor 3 (see ../../server.ts).

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{
    fs::File,
    io::{stdin, BufRead, Write},
    os::fd::FromRawFd,
    sync::Arc,
    thread,
};

use base64::{engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL, Engine};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
    Request, Response, StatusCode,
};
use hyper_util::rt::TokioIo;
use ring::{
    rand::{SecureRandom, SystemRandom},
    signature::{EcdsaKeyPair, ECDSA_P256_SHA256_FIXED_SIGNING},
};
use serde_json::{json, Value};
use tokio::net::TcpListener;

const KEY_ID: &str = "0f3c8a52-3a5e-4b0e-9d59-6f2f3b3f2a11";

struct Issuer {
    key: EcdsaKeyPair,
    random: SystemRandom,
    header: String,
}

impl Issuer {
    fn open() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        let header = BASE64URL.encode(format!(r#"{{"alg":"ES256","kid":"{KEY_ID}","typ":"JWT"}}"#));
        Issuer {
            key,
            random,
            header,
        }
    }

    fn nonce(&self) -> String {
        let mut b = [0u8; 16];
        self.random.fill(&mut b).unwrap();
        b[6] = b[6] & 0x0f | 0x40;
        b[8] = b[8] & 0x3f | 0x80;
        let hex: String = b.iter().map(|byte| format!("{byte:02X}")).collect();
        format!(
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        )
    }

    fn issue(&self) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let (exp, nonce) = (now + 1200, self.nonce());
        let claims = json!({
            "iss": "6500000001", "iat": now, "exp": exp, "aud": "AppleDownloadVerification-v1",
            "bid": "com.example.trailmap", "dtype": "download", "nonce": nonce,
        });
        let input = format!("{}.{}", self.header, BASE64URL.encode(claims.to_string()));
        let signature = self.key.sign(&self.random, input.as_bytes()).unwrap();
        let expires_at =
            humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(exp)).to_string();
        json!({
            "token": format!("{input}.{}", BASE64URL.encode(signature)), "expiresAt": expires_at,
            "dtype": "download", "keyId": KEY_ID, "nonce": nonce,
        })
        .to_string()
    }
}

async fn answer(
    issuer: Arc<Issuer>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let is_ours = request.method() == "POST" && request.uri().path() == "/install-token";
    let body = request.into_body().collect().await?.to_bytes();
    let asked: Option<Value> = serde_json::from_slice(&body).ok();
    if !is_ours || asked.is_none() {
        let status = if is_ours {
            StatusCode::BAD_REQUEST
        } else {
            StatusCode::NOT_FOUND
        };
        return Ok(Response::builder()
            .status(status)
            .body(Full::default())
            .unwrap());
    }
    let response = Response::builder()
        .header("content-type", "application/json")
        .header("cache-control", "no-store")
        .body(Full::from(issuer.issue()));
    Ok(response.unwrap())
}

fn report_use(mut out: File) {
    for _ in stdin().lock().lines() {
        let mut used: libc::rusage = unsafe { std::mem::zeroed() };
        unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut used) };
        let seconds = used.ru_utime.tv_sec + used.ru_stime.tv_sec;
        let cpu = seconds * 1_000_000 + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
        writeln!(
            out,
            r#"{{"cpuMicroseconds":{cpu},"rssBytes":{}}}"#,
            used.ru_maxrss * 1024
        )
        .unwrap();
    }
}

async fn serve(mut out: File) {
    let issuer = Arc::new(Issuer::open());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    writeln!(
        out,
        r#"{{"url":"http://{}"}}"#,
        listener.local_addr().unwrap()
    )
    .unwrap();
    thread::spawn(move || report_use(out));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let issuer = issuer.clone();
        let service = service_fn(move |request| answer(issuer.clone(), request));
        tokio::spawn(async move {
            // A connection that breaks is the load generator's to notice.
            let _: Result<(), hyper::Error> = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn main() {
    let out = unsafe { File::from_raw_fd(3) };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    runtime.block_on(serve(out));
}
