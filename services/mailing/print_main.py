"""Composition root of the print process: its own database role, the print key, no Kafka, no e-mail."""

from collections.abc import Sequence
from datetime import timedelta

from services.mailing import print_work
from services.mailing.letters.pin_envelope import Stationery
from services.mailing.print_key import PrintKey
from services.mailing.print_settings import Settings, read_settings
from services.mailing.print_work import Printer, close_next, erase_next, print_next
from shared import db, lifecycle
from shared.observability import logs, tracing
from shared.runtime import migrate, processes
from shared.runtime.migrate import Migration
from shared.runtime.task_loop import require_lease, run_tasks


def make_printer(settings: Settings) -> Printer:
    """Return the printer with the real key."""
    return Printer(
        key=PrintKey.load(settings.key_file, settings.certificate_file),
        stationery=Stationery(fonts=settings.fonts, help=settings.help, portal=settings.portal),
        folder=settings.posting_folder,
        rule=settings.rule,
        kept=settings.letters_kept,
    )


def run(migrations: Sequence[Migration]) -> None:
    """Print until stopped."""
    settings = read_settings()
    logs.configure("mailing", "print", settings.log_level)
    tracing.configure("mailing", "print")
    require_lease("print, close, erase", print_work.LEASE, calls=timedelta(0))  # they call nothing outside
    printer = make_printer(settings)
    life = lifecycle.Lifecycle()
    life.end_on_signals()
    with logs.start_and_end(settings):
        lifecycle.serve_admin(settings.admin, life)
        pool = db.open_pool(settings.database_url, name="mailing-print", max_size=2)
        try:
            migrate.wait_until_current(pool, migrations)
            processes.STARTED.labels("mailing", "print").set(1)
            tasks = [
                ("print", lambda: print_next(pool, printer)),
                ("close", lambda: close_next(pool, printer)),
                ("erase", lambda: erase_next(pool, printer)),
            ]
            run_tasks(tasks, life)
        finally:
            pool.close()
