//! Mails on their way out: to a server, or into a directory.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};
use portcullis_identity::Mail;

use crate::config;

/// Where mails go.
pub enum Mailer {
    /// A mail server.
    Smtp { transport: AsyncSmtpTransport<Tokio1Executor>, from: Mailbox },
    /// A directory of `.eml` files.
    Directory { path: PathBuf, from: Mailbox },
}

impl Mailer {
    /// From the configuration; `directory` is used if no server is named.
    pub fn new(config: &config::Mail, directory: &Path) -> Result<Self> {
        let from = config.from.as_deref().unwrap_or("Portcullis <no-reply@portcullis.invalid>");
        let from = from.parse().context("mail.from")?;
        match &config.smtp {
            Some(url) => {
                // Mails carry links that open accounts.
                let encrypted = url.starts_with("smtps://") || url.contains("tls=required");
                ensure!(encrypted, "mail.smtp must be smtps://… or end in ?tls=required");
                let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url);
                Ok(Self::Smtp { transport: transport.context("mail.smtp")?.build(), from })
            }
            None => {
                let path = directory.to_owned();
                std::fs::create_dir_all(&path).context("create the mail directory")?;
                Ok(Self::Directory { path, from })
            }
        }
    }

    /// Sends one mail. `id` makes the name of its file, so that a mail tried twice is one file.
    pub async fn send(&self, id: &str, mail: &Mail) -> Result<()> {
        let (Self::Smtp { from, .. } | Self::Directory { from, .. }) = self;
        let message = Message::builder()
            .from(from.clone())
            .to(mail.to.parse().context("the address")?)
            .subject(&mail.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text.clone())?;
        match self {
            Self::Smtp { transport, .. } => {
                transport.send(message).await?;
            }
            Self::Directory { path, .. } => {
                let temporary = path.join(format!(".{id}.new"));
                tokio::fs::write(&temporary, message.formatted()).await?;
                tokio::fs::rename(&temporary, path.join(format!("{id}.eml"))).await?;
            }
        }
        Ok(())
    }
}
