//! Mail about what happens, in a thread of its own: a server that does not answer delays nothing but mail.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use anyhow::Context;
use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Message, SmtpTransport, Transport};

use super::config::Mail;

/// How many wait for a server that does not answer.
const LONGEST_QUEUE: usize = 100;

/// How long the last ones are waited for at the end.
const LAST: Duration = Duration::from_secs(2);

/// Sends mail.
#[derive(Debug)]
pub(super) struct Mailer {
    pub(super) config: Mail,
    queue: SyncSender<Letter>,
    done: Receiver<()>,
    /// Some were thrown away: said once.
    full: bool,
}

#[derive(Debug)]
struct Letter {
    subject: String,
    body: String,
}

/// Who sends to whom, checked.
struct Envelope {
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Mailer {
    /// Starts the thread.
    ///
    /// # Errors
    /// An address that is none, with what is wrong with it.
    pub(super) fn start(config: Mail) -> anyhow::Result<Self> {
        let mailbox = |text: &String| text.parse::<Mailbox>().with_context(|| format!("mail address {text:?}"));
        let to = config.to.iter().map(mailbox).collect::<anyhow::Result<_>>()?;
        let envelope = Envelope { from: mailbox(&config.from)?, to };
        let mut transport = SmtpTransport::builder_dangerous(&config.server).port(config.port);
        transport = transport.timeout(Some(config.timeout));
        if let Some(helo) = &config.helo {
            transport = transport.hello_name(ClientId::Domain(helo.clone()));
        }
        let (queue, letters) = sync_channel(LONGEST_QUEUE);
        let (ends, done) = sync_channel::<()>(0);
        let transport = transport.build();
        let place = format!("{}:{}", config.server, config.port);
        let work = move || {
            // Dropped at the end, which is how that is seen.
            let _ends = ends;
            send_all(&letters, &transport, &envelope, &place);
        };
        std::thread::Builder::new().name("vrrp-mail".to_owned()).spawn(work).context("cannot start a thread")?;
        Ok(Self { config, queue, done, full: false })
    }

    /// Has a mail sent, some time.
    pub(super) fn send(&mut self, subject: String, body: String) {
        match self.queue.try_send(Letter { subject, body }) {
            Ok(()) => self.full = false,
            Err(TrySendError::Full(Letter { subject, .. }) | TrySendError::Disconnected(Letter { subject, .. })) => {
                if !std::mem::replace(&mut self.full, true) {
                    tracing::error!("{subject:?} is not mailed, nor what follows: {LONGEST_QUEUE} mails wait already");
                }
            }
        }
    }

    /// Waits a moment for the last ones.
    pub(super) fn finish(self) {
        let Self { queue, done, .. } = self;
        drop(queue);
        if done.recv_timeout(LAST) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("some mails are not sent any more");
        }
    }
}

fn send_all(letters: &Receiver<Letter>, transport: &SmtpTransport, envelope: &Envelope, place: &str) {
    let mut failing = false;
    for letter in letters {
        let subject = letter.subject.clone();
        match send(letter, transport, envelope) {
            Ok(()) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("mail goes out again through {place}");
                }
                tracing::debug!("mailed {subject:?}");
            }
            // Once for each outage.
            Err(error) if failing => tracing::debug!("cannot mail {subject:?}: {error:#}"),
            Err(error) => {
                failing = true;
                tracing::error!("cannot mail {subject:?} through {place}, nor maybe what follows: {error:#}");
            }
        }
    }
}

fn send(letter: Letter, transport: &SmtpTransport, envelope: &Envelope) -> anyhow::Result<()> {
    let message = Message::builder().from(envelope.from.clone()).subject(letter.subject);
    let message = envelope.to.iter().fold(message, |message, to| message.to(to.clone()));
    let message = message.header(ContentType::TEXT_PLAIN).body(letter.body)?;
    transport.send(&message)?;
    Ok(())
}
