"""The default companies, and what a new company starts with."""

from __future__ import annotations

from decimal import Decimal

from simulator.books import CURRENCIES
from simulator.clock import timestamp
from simulator.documents import Document
from simulator.sample import seed_craig
from simulator.schema import ACCOUNT_TYPES
from simulator.seeding import FOUNDED, Seeds, custom_flag, rows
from simulator.store import Company, World
from simulator.tax import AUTOMATED_CODES, NO_NEXUS_CODE

RIVERA = "9341450000000001"
OAK = "9341450000000002"
CRAIG = "9341450000000003"
ERABLE = "9341450000000004"

PAYMENT_METHODS = (
    ("Cash", "NON_CREDIT_CARD"),
    ("Check", "NON_CREDIT_CARD"),
    ("Visa", "CREDIT_CARD"),
    ("MasterCard", "CREDIT_CARD"),
    ("American Express", "CREDIT_CARD"),
    ("Diners Club", "CREDIT_CARD"),
    ("Discover", "CREDIT_CARD"),
    ("Direct Debit", "NON_CREDIT_CARD"),
)
TERMS = (("Due on receipt", 0), ("Net 15", 15), ("Net 30", 30), ("Net 60", 60))

# Rates by id; codes by id, each the sum of its rates.
US_RATES = {
    "1": ("AZ State tax", "7.1"),
    "2": ("Tucson City", "2"),
    "3": ("California", "8"),
    "4": ("New York City", "8.875"),
    "5": ("Texas", "8.25"),
    "6": ("Florida", "7"),
    "7": ("Washington", "10.1"),
    "8": ("NO TAX SALES", "0"),
}
US_CODES = {
    "2": ("California", ("3",)),
    "3": ("Tucson", ("1", "2")),
    "4": ("New York", ("4",)),
    "5": ("Texas", ("5",)),
    "6": ("Florida", ("6",)),
    "7": ("Washington", ("7",)),
    "8": ("NO TAX SALES", ("8",)),
}
CANADIAN_RATES = {
    "1": ("Exempt", "0"),
    "2": ("Zero-rated", "0"),
    "3": ("GST", "5"),
    "4": ("HST ON", "13"),
    "5": ("QST", "9.975"),
}
CANADIAN_CODES = {
    "2": ("Exempt", ("1",)),
    "3": ("Zero-rated", ("2",)),
    "4": ("GST", ("3",)),
    "5": ("HST ON", ("4",)),
    "6": ("GST/QST QC - 9.975", ("3", "5")),
}
EXCHANGE_RATES = {
    "USD": Decimal("1.36"),
    "CAD": Decimal("0.73"),
    "EUR": Decimal("1.08"),
    "GBP": Decimal("1.27"),
}
assert set(AUTOMATED_CODES.values()) | {NO_NEXUS_CODE} <= set(US_CODES)


def seed_defaults(world: World) -> None:
    for realm, name, country in (
        (RIVERA, "Rivera Plumbing LLC", "US"),
        (OAK, "Oak HVAC Inc", "US"),
        (CRAIG, "Craig's Design and Landscaping Services", "US"),
        (ERABLE, "Érable Rénovation", "CA"),
    ):
        company = world.add_company(realm, name, country)
        seed_company(world, company, "craig-items" if realm == CRAIG else "firm-items")
    seed_craig(world, world.companies[CRAIG])


def seed_company(world: World, company: Company, items: str = "firm-items") -> None:
    """Accounts, tax, payment methods, terms and preferences that every company has."""
    seeds = CompanySeeds(world, company)
    if company.country == "CA":
        world.set_switches(company, language="fr")
    seeds.singletons()
    for row in rows("accounts"):
        seeds.account(row)
    for number, (name, kind) in enumerate(PAYMENT_METHODS, 1):
        method: Document = {"Name": name, "Active": True, "Type": kind}
        seeds.put("PaymentMethod", str(number), method)
    for number, (name, days) in enumerate(TERMS, 1):
        term: Document = {"Name": name, "Active": True, "Type": "STANDARD"}
        seeds.put("Term", str(number), {**term, "DueDays": Decimal(days)})
    rates, codes = (US_RATES, US_CODES) if company.is_us else (CANADIAN_RATES, CANADIAN_CODES)
    seeds.taxes(rates, codes)
    for row in rows(items):
        seeds.item(row)
    seeds.currencies()


class CompanySeeds(Seeds):
    """What every company starts with."""

    def account(self, row: dict[str, str]) -> None:
        above = self.company.get("Account", row["parent"])
        name = row["name"]
        values: Document = {"Name": name, "SubAccount": above is not None}
        if above:
            values["ParentRef"] = {"value": row["parent"]}
        values |= {
            "FullyQualifiedName": f"{above['FullyQualifiedName']}:{name}" if above else name,
            "Active": True,
            "Classification": ACCOUNT_TYPES[row["type"]][0],
            "AccountType": row["type"],
            "AccountSubType": row["subtype"],
            "CurrentBalance": 0,
            "CurrentBalanceWithSubAccounts": 0,
            "CurrencyRef": self.currency,
        }
        self.put("Account", row["id"], values)

    def item(self, row: dict[str, str]) -> None:
        income = self.company.get("Account", row["account"]) or {}
        is_stocked = row["type"] == "Inventory"
        values: Document = {
            "Name": row["name"],
            **({"Description": row["description"]} if row["description"] else {}),
            "Active": True,
            "FullyQualifiedName": row["name"],
            "Taxable": row["taxable"] == "true",
            "UnitPrice": Decimal(row["price"] or 0),
            "Type": row["type"],
            "IncomeAccountRef": {
                "value": row["account"],
                "name": income.get("FullyQualifiedName"),
            },
            "PurchaseCost": 0,
        }
        if is_stocked:
            values |= {
                "ExpenseAccountRef": {"value": "80", "name": "Cost of Goods Sold"},
                "AssetAccountRef": {"value": "81", "name": "Inventory Asset"},
                "QtyOnHand": 25,
                "InvStartDate": "2015-10-01",
            }
        self.put("Item", row["id"], {**values, "TrackQtyOnHand": is_stocked})

    def taxes(
        self, rates: dict[str, tuple[str, str]], codes: dict[str, tuple[str, tuple[str, ...]]]
    ) -> None:
        self.put("TaxAgency", "1", {"DisplayName": "Revenue Agency", "TaxTrackedOnSales": True})
        for object_id, (name, value) in rates.items():
            rate: Document = {
                "Name": name,
                "Description": name,
                "Active": True,
                "RateValue": Decimal(value),
                "AgencyRef": {"value": "1"},
                "SpecialTaxType": "NONE",
                "DisplayType": "ReadOnly",
            }
            self.put("TaxRate", object_id, rate)
        if self.company.is_us:
            for name, taxable in (("TAX", True), ("NON", False), ("CustomSalesTax", True)):
                flags: Document = {"Taxable": taxable, "TaxGroup": False}
                self.put("TaxCode", name, {"Name": name, "Active": True, **flags})
        for object_id, (name, rate_ids) in codes.items():
            details: list[Document] = [
                {
                    "TaxRateRef": {"value": rate_id, "name": rates[rate_id][0]},
                    "TaxTypeApplicable": "TaxOnAmount",
                    "TaxOrder": 0,
                }
                for rate_id in rate_ids
            ]
            code: Document = {
                "Name": name,
                "Description": name,
                "Active": True,
                "Taxable": True,
                "TaxGroup": True,
                "SalesTaxRateList": {"TaxRateDetail": [*details]},
                "PurchaseTaxRateList": {"TaxRateDetail": []},
            }
            self.put("TaxCode", object_id, code)

    def currencies(self) -> None:
        """The currency list after multiple currencies are turned on."""
        home = self.company.home_currency
        others = [code for code in CURRENCIES if code != home]
        for number, code in enumerate(others, 1):
            currency: Document = {"Name": CURRENCIES[code], "Code": code, "Active": True}
            self.put("CompanyCurrency", str(number), currency)
            rate: Document = {
                "SourceCurrencyCode": code,
                "TargetCurrencyCode": home,
                "Rate": EXCHANGE_RATES.get(code, Decimal(1)),
                "AsOfDate": "2026-01-02",
            }
            self.put("ExchangeRate", code, rate)

    def singletons(self) -> None:
        company = self.company
        us = company.is_us
        address: Document = {
            "Id": "1",
            "Line1": "123 Sierra Way" if us else "450 rue Saint-Denis",
            "City": "San Pablo" if us else "Montréal",
            "Country": "USA" if us else "Canada",
            "CountrySubDivisionCode": "CA" if us else "QC",
            "PostalCode": "87999" if us else "H2X 3K3",
        }
        sku = "QuickBooks Online Plus"
        info: Document = {
            "CompanyName": company.name,
            "LegalName": company.name,
            "CompanyAddr": address,
            "CustomerCommunicationAddr": address,
            "LegalAddr": address,
            "CustomerCommunicationEmailAddr": {"Address": "owner@example.com"},
            "PrimaryPhone": {"FreeFormNumber": "(510) 555-0100"},
            "CompanyStartDate": "2015-10-01",
            "FiscalYearStartMonth": "January",
            "Country": company.country,
            "Email": {"Address": "owner@example.com"},
            "WebAddr": {},
            "SupportedLanguages": "en" if us else "en,fr",
            "NameValue": [
                {"Name": "NeoEnabled", "Value": "true"},
                {"Name": "IsQbdtMigrated", "Value": "false"},
                {"Name": "CompanyType", "Value": "Other"},
                {"Name": "SubscriptionStatus", "Value": "PAID"},
                {"Name": "OfferingSku", "Value": sku},
                {"Name": "PayrollFeature", "Value": "false"},
                {"Name": "AccountantFeature", "Value": "false"},
                {"Name": "ItemCategoriesFeature", "Value": "true"},
                {"Name": "AssignedTime", "Value": timestamp(FOUNDED)},
            ],
        }
        self.put("CompanyInfo", "1", info)
        self.put("Preferences", "1", _preferences(company.is_us, company.realm in (RIVERA, OAK)))


def _preferences(us: bool, numbers_itself: bool) -> Document:
    def message(kind: str) -> Document:
        words = f"Here's your {kind.lower()}! We appreciate your prompt payment."
        return {"Subject": f"{kind} from our company", "Message": words}

    currency = "USD" if us else "CAD"
    no_custom_fields: Document = {
        "CustomField": [custom_flag(number, False) for number in range(1, 4)]
    }
    tax: Document = {"UsingSalesTax": True}
    if us:
        tax["TaxGroupCodeRef"] = {"value": "2"}
    return {
        "AccountingInfoPrefs": {
            "UseAccountNumbers": False,
            "TrackDepartments": False,
            "ClassTrackingPerTxn": False,
            "ClassTrackingPerTxnLine": False,
            "FirstMonthOfFiscalYear": "January",
            "TaxYearMonth": "January",
            "CustomerTerminology": "Customers",
        },
        "ProductAndServicesPrefs": {
            "ForSales": True,
            "ForPurchase": True,
            "QuantityWithPriceAndRate": True,
            "QuantityOnHand": True,
        },
        "SalesFormsPrefs": {
            "CustomField": [no_custom_fields],
            "CustomTxnNumbers": numbers_itself,
            "AllowDeposit": False,
            "AllowDiscount": True,
            "DefaultDiscountAccount": "86",
            "AllowEstimates": True,
            "EstimateMessage": "Thank you for your business and have a great day!",
            "ETransactionEnabledStatus": "NotApplicable",
            "ETransactionAttachPDF": False,
            "ETransactionPaymentEnabled": False,
            "IPNSupportEnabled": False,
            "AllowServiceDate": False,
            "AllowShipping": False,
            "DefaultTerms": {"value": "3"},
            "DefaultCustomerMessage": "Thank you for your business and have a great day!",
            "AutoApplyCredit": False,
            "AutoApplyPayments": False,
        },
        "EmailMessagesPrefs": {
            "InvoiceMessage": message("Invoice"),
            "EstimateMessage": message("Estimate"),
            "SalesReceiptMessage": message("Sales Receipt"),
            "StatementMessage": message("Statement"),
        },
        "VendorAndPurchasesPrefs": {
            "TrackingByCustomer": True,
            "BillableExpenseTracking": True,
            "POCustomField": [],
        },
        "TimeTrackingPrefs": {
            "UseServices": True,
            "BillCustomers": True,
            "ShowBillRateToAll": False,
            "WorkWeekStartDate": "Monday",
            "MarkTimeEntriesBillable": True,
        },
        "TaxPrefs": tax,
        "CurrencyPrefs": {"MultiCurrencyEnabled": False, "HomeCurrency": {"value": currency}},
        "ReportPrefs": {"ReportBasis": "Accrual", "CalcAgingReportFromTxnDate": False},
        "OtherPrefs": {
            "NameValue": [
                {
                    "Name": "SalesFormsPrefs.DefaultCustomerMessage",
                    "Value": "Thank you for your business and have a great day!",
                },
                {"Name": "SalesFormsPrefs.DefaultItem", "Value": "1"},
                {"Name": "DTXCopyMemo", "Value": "false"},
                {"Name": "UncategorizedAssetAccountId", "Value": "32"},
                {"Name": "UncategorizedIncomeAccountId", "Value": "30"},
                {"Name": "UncategorizedExpenseAccountId", "Value": "31"},
            ]
        },
    }
