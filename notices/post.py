"""Sends each notice once, by one process."""

from datetime import timedelta

import structlog
from sqlalchemy import func, select, update

from config import Config
from db import Sessions
from models.notices import Notice
from notices import conditions, mail
from notices.letters import letter_of
from outbox.scheduler import for_a_while

FIRST_RETRY_DELAY = timedelta(minutes=1)  # after the mail server failed; doubles with each attempt
MAX_RETRY_DELAY = timedelta(hours=1)

log = structlog.get_logger()


def look_and_tell(sessions: Sessions, config: Config) -> int:
    """Runs each minute in every process. Returns the number of letters sent."""
    conditions.look(sessions, config)
    if not mail.is_possible(config):
        return 0  # already logged
    with sessions() as session:
        due = session.scalars(
            select(Notice.id)
            .where(
                Notice.lasts,
                Notice.told_at.is_(None),
                Notice.available_at <= func.clock_timestamp(),
            )
            .order_by(Notice.id)
        ).all()
    return for_a_while(due, lambda notice_id: _tell(sessions, config, notice_id))


def _tell(sessions: Sessions, config: Config, notice_id: int) -> bool:
    """Claims the notice by moving its next attempt into the future,
    so that one process sends it."""
    with sessions.begin() as session:
        notice = session.scalar(
            update(Notice)
            .where(
                Notice.id == notice_id,
                Notice.lasts,
                Notice.told_at.is_(None),
                Notice.available_at <= func.clock_timestamp(),
            )
            .values(
                attempts=Notice.attempts + 1,
                available_at=func.clock_timestamp()
                + func.least(
                    FIRST_RETRY_DELAY * func.power(2, func.least(Notice.attempts, 10)),
                    MAX_RETRY_DELAY,
                ),
            )
            .returning(Notice)
        )
        if notice is None:
            return False
        letter = letter_of(session, config, notice)
    if letter is None:
        log.warning("notice has nobody to go to", notice=notice_id, kind=notice.kind)
    else:
        try:
            mail.send(config, letter)  # no transaction is open here
        except mail.NotMailed as problem:
            log.error("notice not mailed yet", notice=notice_id, problem=str(problem))
            return False
    with sessions.begin() as session:
        session.execute(
            update(Notice).where(Notice.id == notice_id).values(told_at=func.clock_timestamp())
        )
    log.info("notice told", notice=notice_id, kind=notice.kind)
    return letter is not None
