"""The faults QuickBooks answers with: one function per code, in English and French.

A `Refusal` carries everything its answer needs. Its `stage` is where the check stands in the order
in which QuickBooks validates: of several things wrong with a request, the earliest stage is told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import IntEnum

from simulator.documents import Document

VALIDATION = "ValidationFault"
SYSTEM = "SystemFault"


class Stage(IntEnum):
    PROPERTIES = 1
    REQUIRED = 2
    IDS = 3
    LENGTHS = 4
    CHARACTERS = 5
    FORMATS = 6
    EXISTENCE = 7
    REFERENCES = 8
    BUSINESS = 9


class Refusal(Exception):
    """A request refused with a fault; `more` holds others of the same stage."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(faults[0].detail)
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Fault:
    code: str
    message: str
    detail: str
    stage: Stage = Stage.BUSINESS
    element: str | None = ""
    type: str = VALIDATION
    status: int = 400
    french: tuple[str, str] | None = None

    def in_language(self, language: str) -> Fault:
        if language == "fr" and self.french:
            return replace(self, message=self.french[0], detail=self.french[1])
        return self

    def as_error(self) -> Document:
        error: Document = {"Message": self.message, "Detail": self.detail, "code": self.code}
        if self.element is not None:
            error["element"] = self.element
        return error


# Properties, required parameters, ids --------------------------------------------------------


def unreadable_property(words: str) -> Fault:
    return Fault(
        "2010",
        "Request has invalid or unsupported property",
        f"Property Name:{words} specified is unsupported or invalid",
        Stage.PROPERTIES,
        None,
        french=(
            "La demande contient une propriété non valide ou non prise en charge",
            f"Nom de propriété :{words} est non valide ou non pris en charge",
        ),
    )


KNOWN_PROPERTIES_TOLD = 54  # Intuit's own text breaks off about there


def unknown_property(name: str, class_name: str, known: list[str]) -> Fault:
    told = ", ".join(f'"{each}"' for each in known[:KNOWN_PROPERTIES_TOLD])
    cut = " [truncated]" if len(known) > KNOWN_PROPERTIES_TOLD else ""
    return unreadable_property(
        f'Unrecognized field "{name}" (class com.intuit.schema.finance.v3.{class_name}), '
        f"not marked as ignorable ({len(known)} known properties: {told}{cut}])\n"
    )


def wrong_type(name: str, expected: str) -> Fault:
    return unreadable_property(f"Can not deserialize instance of {expected} at [{name}]")


def required_missing(parameter: str) -> Fault:
    return Fault(
        "2020",
        "Required param missing, need to supply the required value for the API",
        f"Required parameter {parameter} is missing in the request",
        Stage.REQUIRED,
        parameter,
        french=(
            "Paramètre requis manquant, vous devez fournir la valeur requise pour l'API",
            f"Le paramètre requis {parameter} est manquant dans la demande",
        ),
    )


def invalid_id(value: str) -> Fault:
    return Fault(
        "2030",
        "Invalid ID",
        f"Id should be a valid number. Supplied value:{value}",
        Stage.IDS,
        "Id",
        french=("ID non valide", f"L'ID doit être un nombre valide. Valeur fournie :{value}"),
    )


# Texts, numbers, formats ---------------------------------------------------------------------


def wrong_length(element: str, length: int, low: int, high: int) -> Fault:
    return Fault(
        "2050",
        "String length is either shorter or longer than supported by specification",
        "String length specified does not match the supported length. "
        f"Min:{low} Max:{high} supported. Supplied length:{length}",
        Stage.LENGTHS,
        element,
        french=(
            "La longueur de la chaîne n'est pas conforme à la spécification",
            "La longueur de la chaîne ne correspond pas à la longueur prise en charge. "
            f"Min :{low} Max :{high}. Longueur fournie :{length}",
        ),
    )


def forbidden_characters(element: str, value: str) -> Fault:
    return Fault(
        "2040",
        "Invalid String",
        f"Element contains invalid characters: {value}",
        Stage.CHARACTERS,
        element,
        french=("Chaîne non valide", f"L'élément contient des caractères non valides : {value}"),
    )


def malformed_email(value: str) -> Fault:
    return Fault(
        "2210",
        "Invalid Email Address format",
        f"Email Address does not conform to the RFC 822 standard. Supplied value:{value}",
        Stage.FORMATS,
        "Email Address",
        french=(
            "Format d'adresse courriel non valide",
            f"L'adresse courriel n'est pas conforme à la norme RFC 822. Valeur fournie :{value}",
        ),
    )


def malformed_website(value: str) -> Fault:
    return Fault(
        "2200",
        "Malformed Website Address Format",
        f"Web site address must be an absolute URL. Supplied value:{value}",
        Stage.FORMATS,
        "WebAddr",
        french=(
            "Format d'adresse de site Web incorrect",
            f"L'adresse du site Web doit être une URL absolue. Valeur fournie :{value}",
        ),
    )


def malformed_date(element: str, value: str) -> Fault:
    return Fault(
        "2060",
        "Invalid Date Format",
        f"Date should be in the format yyyy-MM-dd. Supplied value:{value}",
        Stage.FORMATS,
        element,
    )


def impossible_date(element: str, value: str) -> Fault:
    return Fault(
        "2070", "Invalid Date", f"Invalid date. Supplied value:{value}", Stage.FORMATS, element
    )


def malformed_number(element: str, value: str) -> Fault:
    return Fault(
        "2080",
        "Invalid Number Format",
        f"{element} should be a valid number. Supplied value:{value}",
        Stage.FORMATS,
        element,
    )


def amount_out_of_range(element: str, value: Decimal) -> Fault:
    return Fault(
        "2140",
        "Invalid Amount",
        f"Amount is outside of the supported range. Supplied value:{value}",
        Stage.FORMATS,
        element,
    )


def malformed_boolean(element: str, value: str) -> Fault:
    return Fault(
        "2230",
        "Invalid Boolean",
        f"{element} should be true or false. Supplied value:{value}",
        Stage.FORMATS,
        element,
    )


def unknown_enumeration(element: str, value: str) -> Fault:
    return Fault(
        "2170", "Invalid Enumeration", f"Invalid Enumeration : {value}", Stage.FORMATS, element
    )


def unknown_currency(value: str) -> Fault:
    return Fault(
        "2220",
        "Invalid Currency Type",
        f"Invalid currency type. Supplied value:{value}",
        Stage.FORMATS,
        "CurrencyRef",
    )


def malformed_request_id() -> Fault:
    return Fault("2130", "Invalid Request Id Format", "Invalid Request Id Format", element=None)


# Existence, versions, references -------------------------------------------------------------

MADE_INACTIVE = (
    "Something you're trying to use has been made inactive. "
    "Check the fields with accounts, customers, items, vendors or employees."
)
MADE_INACTIVE_FRENCH = (
    "Un élément que vous essayez d'utiliser a été rendu inactif. Vérifiez les champs "
    "contenant des comptes, des clients, des articles, des fournisseurs ou des employés."
)


def not_found() -> Fault:
    return Fault(
        "610",
        "Object Not Found",
        f"Object Not Found : {MADE_INACTIVE}",
        Stage.EXISTENCE,
        french=("Objet introuvable", f"Objet introuvable : {MADE_INACTIVE_FRENCH}"),
    )


def deleted_meanwhile() -> Fault:
    return Fault(
        "610",
        "Object Not Found",
        "Object Not Found : Another user has deleted this transaction.",
        Stage.REFERENCES,
        french=(
            "Objet introuvable",
            "Objet introuvable : Un autre utilisateur a supprimé cette opération.",
        ),
    )


def stale(who: str) -> Fault:
    return Fault(
        "5010",
        "Stale Object Error",
        f"Stale Object Error : You and {who} were working on this at the same time. "
        f"{who} finished before you did, so your work was not saved.",
        Stage.EXISTENCE,
        french=(
            "Erreur d'objet périmé",
            f"Erreur d'objet périmé : Vous et {who} travailliez sur cet élément en même temps. "
            f"{who} a terminé avant vous, votre travail n'a donc pas été enregistré.",
        ),
    )


def unknown_reference(family: str, value: str) -> Fault:
    """`family` is QuickBooks' word: Names, Accounts, Items, Klasses, Depts, …"""
    return Fault(
        "2500",
        "Invalid Reference Id",
        f"Invalid Reference Id : {family} element id {value} not found",
        Stage.REFERENCES,
        french=(
            "ID de référence non valide",
            f"ID de référence non valide : {family} element id {value} introuvable",
        ),
    )


def unusable_item(path: str) -> Fault:
    return Fault(
        "2500",
        "Invalid Reference Id",
        f"Invalid Reference Id : {path}",
        Stage.REFERENCES,
        french=("ID de référence non valide", f"ID de référence non valide : {path}"),
    )


def category_as_item() -> Fault:
    words = "An item in this transaction is set up as a category instead of a product or service."
    return Fault(
        "2500", "Invalid Reference Id", f"Invalid Reference Id : {words}", Stage.REFERENCES
    )


def inactive_reference(code: str) -> Fault:
    message = "Object Not Found" if code == "610" else "Invalid Reference Id"
    french = "Objet introuvable" if code == "610" else "ID de référence non valide"
    return Fault(
        code,
        message,
        f"{message} : {MADE_INACTIVE}",
        Stage.REFERENCES,
        french=(french, f"{french} : {MADE_INACTIVE_FRENCH}"),
    )


# Business rules ------------------------------------------------------------------------------


def business_rule(words: str, french: str | None = None) -> Fault:
    return Fault(
        "6000",
        "A business validation error has occurred while processing your request",
        f"Business Validation Error: {words}",
        french=(
            "Une erreur de validation s'est produite lors du traitement de votre demande",
            f"Erreur de validation : {french or words}",
        ),
    )


def cannot_link(words: str) -> Fault:
    return Fault(
        "620",
        "Transaction ID cannot be linked",
        f"Transaction ID cannot be linked : {words}",
        french=(
            "L'opération ne peut pas être liée",
            f"L'opération ne peut pas être liée : {words}",
        ),
    )


def has_dependents(words: str) -> Fault:
    return Fault("800", "Cannot delete object", f"Cannot delete object : {words}")


def amount_differs(amount: Decimal) -> Fault:
    return Fault(
        "6070",
        "Amount calculation incorrect in the request",
        f"Amount is not equal to UnitPrice * Qty. Supplied value:{_grouped(amount)}",
        french=(
            "Le calcul du montant est incorrect dans la demande",
            f"Le montant n'est pas égal à UnitPrice * Qty. Valeur fournie :{_grouped(amount)}",
        ),
    )


def _grouped(amount: Decimal) -> str:
    text = f"{amount:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def no_name() -> Fault:
    return Fault(
        "6080",
        "No Name Provided",
        "At least one of DisplayName, Title, GivenName, MiddleName, FamilyName or Suffix "
        "must be given.",
        french=(
            "Aucun nom fourni",
            "Au moins un des champs DisplayName, Title, GivenName, MiddleName, FamilyName ou "
            "Suffix doit être fourni.",
        ),
    )


def discount_incomplete() -> Fault:
    return Fault(
        "6090",
        "Discount line missing amount or percent",
        "Discount line must have an amount or a discount percent.",
    )


def wrong_line_tax_code() -> Fault:
    return Fault(
        "6100",
        "Invalid Line TaxCode",
        "Invalid Line TaxCode : TaxCodeRef on a line must be TAX or NON.",
    )


def wrong_tax_code(value: str) -> Fault:
    return Fault(
        "6160", "Invalid TaxCodeRef", f"Invalid TaxCodeRef : tax code {value} cannot be used."
    )


def duplicate_number(number: str, txn_type: str, txn_id: str) -> Fault:
    french_type = {"Invoice": "Facture"}.get(txn_type, txn_type)
    return Fault(
        "6140",
        "Duplicate Document Number Error",
        "Duplicate Document Number Error : You must specify a different number. "
        f"This number has already been used. DocNumber={number} is assigned to "
        f"TxnType={txn_type} with TxnId={txn_id}",
        french=(
            "Erreur de numéro de document en double",
            "Erreur de numéro de document en double : Vous devez indiquer un autre numéro. "
            f"Ce numéro a déjà été utilisé. DocNumber={number} is assigned to "
            f"TxnType={french_type} with TxnId={txn_id}",
        ),
    )


def too_deep() -> Fault:
    return Fault(
        "6180",
        "Maximum level of sub-entities exceeded",
        "The maximum number of levels (5) of sub-customers, sub-items or sub-accounts is exceeded.",
    )


def subscription_ended() -> Fault:
    return Fault(
        "6190",
        "Invalid Company Status",
        "Subscription period has ended or canceled or there was a billing problem : You can't "
        "add data to QuickBooks Online Plus because your trial or subscription period ended.",
        french=(
            "État de l'entreprise non valide",
            "L'abonnement a pris fin ou a été annulé, ou il y a eu un problème de facturation : "
            "Vous ne pouvez pas ajouter de données à QuickBooks en ligne.",
        ),
    )


def books_closed() -> Fault:
    return Fault(
        "6200",
        "Account Period Closed Error",
        "The account period has closed and the account books cannot be updated. "
        "Change the closing date or the date of the transaction.",
        french=(
            "Erreur de période comptable fermée",
            "La période comptable est fermée et les livres ne peuvent pas être mis à jour.",
        ),
    )


def books_closed_by_password() -> Fault:
    return Fault(
        "6210",
        "Account Period Closed, Cannot Update Through Services API",
        "The account period has closed and the account books cannot be updated through through "
        "the QBO Services API. Please use the QBO website to make these changes.",
        french=(
            "Période comptable fermée, mise à jour impossible par l'API des services",
            "La période comptable est fermée et les livres ne peuvent pas être mis à jour par "
            "l'API des services QBO. Veuillez utiliser le site Web de QBO.",
        ),
    )


def books_closed_as_conflict() -> Fault:
    """Seen instead of 6200, on a create too, with the placeholder left in."""
    return Fault("5010", "Account Period Closed", "The account period has closed. {1}")


def tax_not_calculated() -> Fault:
    return business_rule(
        "We're sorry, QuickBooks encountered an error while calculating tax. Try reselecting the "
        "tax rate or reentering the product/service item and saving the form again."
    )


def duplicate_name(holder: str, detail: str) -> Fault:
    """`detail` is the wording of an era: `id` (today), `null` (2020) or `words` (2014-2019)."""
    tail = {
        "id": f"Id={holder}",
        "null": "null",
        "words": "Another customer, vendor or employee is already using this name. "
        "Please use a different name.",
    }[detail]
    return Fault(
        "6240",
        "Duplicate Name Exists Error",
        f"The name supplied already exists. : {tail}",
        element="" if detail == "words" else None,
        french=("Erreur : nom en double", f"Ce nom existe déjà. : {tail}"),
    )


def email_required() -> Fault:
    return Fault(
        "6420",
        "Email address required",
        "An email address is required when the delivery method is Email.",
        element="PrimaryEmailAddr",
    )


def wrong_account_type() -> Fault:
    return Fault(
        "6430",
        "Invalid account type",
        "Invalid account type: You can't associate a product or service with accounts of certain "
        "types (such as A/R and A/P). Choose an income account.",
        french=(
            "Type de compte non valide",
            "Type de compte non valide : vous ne pouvez pas associer un produit ou un service à "
            "certains types de comptes.",
        ),
    )


def raw_card_number() -> Fault:
    return Fault(
        "6530", "Raw credit card number", "Credit card numbers cannot be stored in this request."
    )


def deposited() -> Fault:
    return Fault(
        "6540",
        "Deposited Transaction cannot be changed",
        "This transaction has been deposited. If you want to change or delete it, you must edit "
        "the deposit it appears on and remove it first.",
        french=(
            "Une opération déposée ne peut pas être modifiée",
            "Cette opération a été déposée. Pour la modifier ou la supprimer, vous devez modifier "
            "le dépôt sur lequel elle figure et l'en retirer d'abord.",
        ),
    )


def negative_amount(element: str) -> Fault:
    return Fault("2290", "Negative Amount", f"Negative amount is not allowed: {element}")


# Requests as a whole -------------------------------------------------------------------------


def unsupported_operation(words: str) -> Fault:
    return Fault(
        "500", "Unsupported Operation", f"Operation {words} is not supported.", element=None
    )


def unsupported_object(name: str) -> Fault:
    return Fault(
        "2000",
        "Invalid or unsupported object name",
        f"Invalid or unsupported object name: {name}",
        Stage.PROPERTIES,
    )


def invalid_content_type(name: str) -> Fault:
    return Fault("1050", "Invalid Content Type", f"Invalid content type: {name}", element=None)


def batch_too_large(limit: int) -> Fault:
    return Fault(
        "1040",
        "Batch size exceeds allowed limit",
        f"Batch size exceeds allowed limit. Maximum items: {limit}",
        element=None,
    )


def batch_id_conflict(words: str) -> Fault:
    return Fault("2600", "Conflict Element in Request", words, element="bId")


def duplicate_request_id() -> Fault:
    return Fault("600", "Duplicate Request ID", "Duplicate Request ID", element=None)


def unparsable_query(encountered: str, column: int) -> Fault:
    return Fault(
        "4000",
        "Error parsing query",
        f"QueryParserError: Encountered {encountered} at line 1, column {column}.",
        element=None,
    )


def invalid_query(words: str) -> Fault:
    return Fault("4001", "Invalid query", f"QueryValidationError: {words}", element=None)


def internal_error(words: str) -> Fault:
    return Fault(
        "10000",
        "An application error has occurred while processing your request",
        f"System Failure Error: {words}",
        element="SystemFailureError",
        type=SYSTEM,
        status=500,
    )


def throttled() -> Fault:
    """As one item of a batch is told; a whole request gets a gateway's 429."""
    return Fault(
        "3001",
        "message=ThrottleExceeded; errorCode=003001; statusCode=429",
        "The request limit was reached.  Try again later",
        element=None,
        type="SERVICE",
    )


def usual(code: str) -> Fault:
    """How QuickBooks words a code when nothing else is told."""
    made = {
        "610": not_found,
        "3001": throttled,
        "6190": subscription_ended,
        "6200": books_closed,
        "6210": books_closed_by_password,
        "6540": deposited,
    }.get(code)
    if made:
        return made()
    if code == "4002":
        words = "QueryProcessingError: To email address entered is invalid"
        return Fault("4002", "Error processing query", words, element=None)
    if code == "10000":
        return internal_error("java.lang.Throwable: call failed with no information")
    if code == "5010":
        return stale("Craig Carlson")
    return replace(business_rule(f"{code} on demand"), code=code)


# Envelopes -----------------------------------------------------------------------------------


def fault_body(faults: tuple[Fault, ...], language: str) -> Document:
    return {
        "Error": [fault.in_language(language).as_error() for fault in faults],
        "type": faults[0].type,
    }


def gateway_body(message: str, detail: str | None, code: str, kind: str, epoch: float) -> Document:
    """What answers before the accounting service is reached: everything in lower case."""
    error: Document = {"message": message, "detail": detail, "code": code, "element": None}
    return {
        "warnings": None,
        "intuitObject": None,
        "fault": {"error": [error], "type": kind},
        "report": None,
        "queryResponse": None,
        "batchItemResponse": [],
        "attachableResponse": [],
        "syncErrorResponse": None,
        "requestId": None,
        "time": int(epoch * 1000),
        "status": None,
        "cdcresponse": [],
    }
