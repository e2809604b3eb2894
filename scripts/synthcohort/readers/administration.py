"""The administrator's page: how far readers are, and their answers as CSV."""

from fastapi import APIRouter, Request, Response

from synthcohort.readers.desk import Desk
from synthcohort.readers.pages import page
from synthcohort.readers.tables import answers_table, export_csv, profiles_table, reader_progress
from synthcohort.readers.vocabulary import PROFESSIONS


def administration_routes(desk: Desk) -> APIRouter:
    """Make the routes of the administrator. Nothing here tells how well readers do: the server does not know it."""
    routes = APIRouter()

    @routes.get("/admin")
    def show_progress(request: Request) -> Response:
        desk.administrator(request)
        return page("admin", study=desk.study, readers=reader_progress(desk.study, desk.book), professions=PROFESSIONS)

    @routes.get("/admin/answers.csv")
    def send_answers(request: Request) -> Response:
        desk.administrator(request)
        return _csv(export_csv(answers_table(desk.book)), f"{desk.study.study_id}-answers.csv")

    @routes.get("/admin/readers.csv")
    def send_readers(request: Request) -> Response:
        desk.administrator(request)
        return _csv(export_csv(profiles_table(desk.book)), f"{desk.study.study_id}-readers.csv")

    return routes


def _csv(text: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text.encode("utf-8"), media_type="text/csv; charset=utf-8", headers=headers)
