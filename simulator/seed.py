"""The companies that are there from the start, and what a new company begins with."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from simulator.books import Books
from simulator.clock import PACIFIC, timestamp
from simulator.documents import Document, money
from simulator.operations import save
from simulator.schema import ACCOUNT_TYPES, SCHEMAS
from simulator.store import Company, World
from simulator.tax import AUTOMATED_CODES, NO_NEXUS_CODE

FOUNDED = 1443732060.0  # 2015-10-01T13:41:00-07:00, the day the sample companies were made

RIVERA = "9341450000000001"
OAK = "9341450000000002"
CRAIG = "9341450000000003"
ERABLE = "9341450000000004"

# id, name, type, subtype, parent
ACCOUNTS = """
1|Services|Income|ServiceFeeIncome|
2|Retained Earnings|Equity|RetainedEarnings|
3|Prepaid Expenses|Other Current Asset|PrepaidExpenses|
4|Undeposited Funds|Other Current Asset|UndepositedFunds|
5|Fees Billed|Income|ServiceFeeIncome|
6|Refunds-Allowances|Income|DiscountsRefundsGiven|
7|Advertising|Expense|AdvertisingPromotional|
8|Bank Charges|Expense|BankCharges|
9|Commissions & fees|Expense|OtherMiscellaneousServiceCost|
10|Dues & Subscriptions|Expense|DuesSubscriptions|
11|Insurance|Expense|Insurance|
12|Legal & Professional Fees|Expense|LegalProfessionalFees|
13|Meals and Entertainment|Expense|EntertainmentMeals|
14|Miscellaneous|Expense|OtherMiscellaneousServiceCost|
15|Office Expenses|Expense|OfficeGeneralAdministrativeExpenses|
16|Promotional|Expense|AdvertisingPromotional|
17|Rent or Lease|Expense|RentOrLeaseOfBuildings|
18|Stationery & Printing|Expense|OfficeGeneralAdministrativeExpenses|
19|Supplies|Expense|SuppliesMaterials|
20|Taxes & Licenses|Expense|TaxesPaid|
21|Travel|Expense|Travel|
22|Travel Meals|Expense|TravelMeals|
23|Unapplied Cash Payment Income|Income|UnappliedCashPaymentIncome|
24|Utilities|Expense|Utilities|
25|Interest Earned|Other Income|InterestEarned|
26|Other Portfolio Income|Other Income|OtherMiscellaneousIncome|
27|Depreciation|Other Expense|Depreciation|
28|Disposal Fees|Expense|OtherMiscellaneousServiceCost|
29|Equipment Rental|Expense|EquipmentRental|
30|Uncategorized Income|Income|ServiceFeeIncome|
31|Uncategorized Expense|Expense|OtherMiscellaneousServiceCost|
32|Uncategorized Asset|Other Current Asset|OtherCurrentAssets|
33|Accounts Payable (A/P)|Accounts Payable|AccountsPayable|
34|Opening Balance Equity|Equity|OpeningBalanceEquity|
35|Checking|Bank|Checking|
36|Savings|Bank|Savings|
37|Truck|Fixed Asset|Vehicles|
41|Mastercard|Credit Card|CreditCard|
42|Visa|Credit Card|CreditCard|
43|Loan Payable|Other Current Liability|OtherCurrentLiabilities|
44|Notes Payable|Long Term Liability|OtherLongTermLiabilities|
45|Landscaping Services|Income|OtherPrimaryIncome|
46|Job Materials|Income|OtherPrimaryIncome|45
47|Fountains and Garden Lighting|Income|OtherPrimaryIncome|46
48|Plants and Soil|Income|OtherPrimaryIncome|46
49|Sprinklers and Drip Systems|Income|OtherPrimaryIncome|46
51|Labor|Income|OtherPrimaryIncome|45
52|Installation|Income|OtherPrimaryIncome|51
53|Maintenance and Repair|Income|OtherPrimaryIncome|51
54|Pest Control Services|Income|OtherPrimaryIncome|
58|Job Expenses|Expense|SuppliesMaterials|
64|Maintenance and Repair Expense|Expense|RepairMaintenance|
76|Telephone|Expense|Utilities|
79|Sales of Product Income|Income|SalesOfProductIncome|
80|Cost of Goods Sold|Cost of Goods Sold|SuppliesMaterialsCogs|
81|Inventory Asset|Other Current Asset|Inventory|
82|Design income|Income|OtherPrimaryIncome|
84|Accounts Receivable (A/R)|Accounts Receivable|AccountsReceivable|
85|Other Income|Other Income|OtherMiscellaneousIncome|
86|Discounts given|Income|DiscountsRefundsGiven|
87|Penalties & Settlements|Other Expense|PenaltiesSettlements|
88|Inventory Shrinkage|Cost of Goods Sold|SuppliesMaterialsCogs|
89|Arizona Dept. of Revenue Payable|Other Current Liability|GlobalTaxPayable|
90|Board of Equalization Payable|Other Current Liability|GlobalTaxPayable|
91|Unapplied Cash Bill Payment Expense|Expense|UnappliedCashBillPaymentExpense|
"""

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
assert set(AUTOMATED_CODES.values()) | {NO_NEXUS_CODE} <= set(US_CODES)

# A service firm's items: id, name, kind, price, income account, taxable, description
FIRM_ITEMS = """
1|Services|Service||1|false|
2|Hours|Service||1|false|
3|Service Call|Service|95|1|false|Diagnosis and first half hour on site
4|Labor|Service|120|1|false|Skilled labor, per hour
5|Materials|NonInventory|0|79|true|Materials used on the job
"""
CRAIG_ITEMS = """
1|Services|Service||1|false|
2|Hours|Service||1|false|
3|Concrete|Service|0|48|true|Concrete for fountain installation
4|Design|Service|75|82|false|Custom Design
5|Rock Fountain|Inventory|275|79|true|Rock Fountain
6|Gardening|Service|0|45|false|Weekly Gardening Service
7|Installation|Service|50|52|false|Installation of landscape design
8|Lighting|Service|0|47|true|Garden Lighting
9|Maintenance & Repair|Service|0|53|false|Maintenance & Repair
10|Pest Control|Service|35|54|false|Pest Control Services
11|Pump|Inventory|15|79|true|Fountain Pump
12|Refunds & Allowances|Service|0|6|false|Income due to refunds or allowances
13|Rocks|Service|0|48|true|Garden Rocks
14|Sod|Service|0|48|true|Sod
15|Soil|Service|10|48|true|2 cubic ft. bag
16|Sprinkler Heads|Inventory|2|79|true|Sprinkler Heads
17|Sprinkler Pipes|Inventory|4|79|true|Sprinkler Pipes
18|Trimming|Service|35|45|false|Tree and Shrub Trimming
"""

# Craig's names, all in one sequence. Customers: id|display|given|family|company|phone|e-mail|
# line|city|state|zip|parent|taxable
CRAIG_CUSTOMERS = """
1|Amy's Bird Sanctuary|Amy|Lauterbach|Amy's Bird Sanctuary|(650) 555-3311|Birds@Intuit.com|4581 Finch St.|Bayshore|CA|94326||true
2|Bill's Windsurf Shop|Bill|Lucchini|Bill's Windsurf Shop|(415) 444-6538|Surf@Intuit.com|12 Ocean Dr.|Half Moon Bay|CA|94213||false
3|Cool Cars|Grace|Pariente|Cool Cars|(415) 555-9933|Cool_Cars@intuit.com|65 Ocean Dr.|Half Moon Bay|CA|94213||false
4|Diego Rodriguez|Diego|Rodriguez||(650) 555-4477|Diego@Rodriguez.com|321 Channing|Palo Alto|CA|94303||false
5|Dukes Basketball Camp|Peter|Dukes|Dukes Basketball Camp|(520) 420-5638|Dukes_bball@intuit.com|25 Court St.|Tucson|AZ|85719||true
6|Dylan Sollfrank|Dylan|Sollfrank|||||||||false
7|Freeman Sporting Goods|Kirby|Freeman|Freeman Sporting Goods|(650) 555-0987|Sporting_goods@intuit.com|370 Easy St.|Middlefield|CA|94482||false
8|0969 Ocean View Road|Sasha|Tillou|Freeman Sporting Goods|(415) 555-9933|Sporting_goods@intuit.com|370 Easy St.|Middlefield|CA|94482|7|false
9|55 Twin Lane|Amelia||Freeman Sporting Goods|(650) 555-0987|Sporting_goods@intuit.com|370 Easy St.|Middlefield|CA|94482|7|false
10|Geeta Kalapatapu|Geeta|Kalapatapu||(650) 555-0022|Geeta@Kalapatapu.com|1987 Main St.|Middlefield|CA|94303||false
11|Gevelber Photography|Lisa|Gevelber|Gevelber Photography|(415) 222-4345|Photography@intuit.com|1045 Main St.|Half Moon Bay|CA|94213||false
12|Jeff's Jalopies|Jeff|Chin|Jeff's Jalopies|(650) 555-8989|Jalopies@intuit.com|12 Willow Rd.|Menlo Park|CA|94305||true
13|John Melton|John|Melton||(650) 555-5879|John@Melton.com|85 Pine St.|Menlo Park|CA|94304||false
14|Kate Whelan|Kate|Whelan||(650) 554-8822|Kate@Whelan.com|45 First St.|Menlo Park|CA|94304||false
15|Pye's Cakes|Karen|Pye|Pye's Cakes|(973) 555-2357|pyescakes@intuit.com|350 Mountain View Dr.|South Orange|NJ|07079||false
16|Kookies by Kathy|Kathy|Kuplis|Kookies by Kathy|(650) 555-7896|qbwebsamplecompany@yahoo.com|789 Sugar Lane|Middlefield|CA|94303||false
17|Mark Cho|Mark|Cho||(650) 554-1479|Mark@Cho.com|36 Willow Rd|Menlo Park|CA|94304||false
18|Paulsen Medical Supplies|Kathy|Paulsen|Paulsen Medical Supplies|(650) 557-8569|Medical@intuit.com|900 Main St.|Middlefield|CA|94303||true
19|Rago Travel Agency|Brad|Rago|Rago Travel Agency|(650) 555-5555|Rago_Travel@intuit.com|753 Spruce St.|Bayshore|CA|94304||false
20|Red Rock Diner|Stephanie|Martini|Red Rock Diner|(650) 555-4973|qbwebsamplecompany@yahoo.com|500 Red Rock Rd.|Bayshore|CA|94326||false
21|Rondonuwu Fruit and Vegi|Tony|Rondonuwu|Rondonuwu Fruit and Vegi|(650) 555-2645|Tony@Rondonuwu.com|847 California Ave.|San Jose|CA|95021||false
22|Shara Barnett|Shara|Barnett||(650) 555-4563|Shara@Barnett.com|19 Main St.|Middlefield|CA|94303||false
23|Barnett Design|Shara|Barnett|Barnett Design|(650) 557-1289|Design@intuit.com|19 Main St.|Middlefield|CA|94303|22|false
24|Sonnenschein Family Store|Russ|Sonnenschein|Sonnenschein Family Store|(650) 557-8463|Familiystore@intuit.com|5647 Cypress Hill Ave.|Middlefield|CA|94303||true
25|Sushi by Katsuyuki|Katsuyuki|Yanagawa|Sushi by Katsuyuki|(505) 570-0147|Sushi@intuit.com|898 Elm St.|Maplewood|NJ|07040||false
26|Travis Waldron|Travis|Waldron||(650) 557-9977|Travis@Waldron.com|78 First St.|Monlo Park|CA|94304||true
27|Video Games by Dan|Dan|Rivera|Video Games by Dan|(650) 555-3456|Videogames@intuit.com|67 San Pablo Ave.|Berkeley|CA|94704||true
28|Wedding Planning by Whitney|Whitney|Jonas|Wedding Planning by Whitney|(650) 557-2473|Dream_Wedding@intuit.com|135 Broadway|Menlo Park|CA|94304||false
29|Weiskopf Consulting|Nicola|Weiskopf|Weiskopf Consulting|(650) 555-1423|Consulting@intuit.com|45612 Main St.|Bayshore|CA|94326||true
"""
CRAIG_VENDORS = """
30|Books by Bessie
31|Brosnahan Insurance Agency
32|Cal Telephone
33|Chin's Gas and Oil
34|Cigna Health Care
35|Computers by Jenni
36|Diego's Road Warrior Bodyshop
37|EDD
38|Ellis Equipment Rental
39|Fidelity
40|Hall Properties
41|Hicks Hardware
42|Lee Advertising
43|Mahoney Mugs
44|Met Life Dental
45|National Eye Care
46|Norton Lumber and Building Materials
47|Pam Seitz
48|PG&E
49|Robertson & Associates
50|Tania's Nursery
51|Tim Philip Masonry
52|Tony Rondonuwu
53|United States Treasury (deleted)
56|Bob's Burger Joint
57|Squeaky Kleen Car Wash
"""
CRAIG_EMPLOYEES = (("54", "John", "Johnson", True), ("55", "Emily", "Platt", False))

# Craig's transactions in the order they were made, ids in one sequence.
# id|Invoice|number|date|customer|item|quantity|price|taxed
# id|SalesReceipt|number|date|customer|item|quantity|price|
# id|Estimate|number|date|customer|item|quantity|price|taxed
# id|Payment|invoice or nothing|date|customer|amount|method|reference
CRAIG_TRANSACTIONS = """
9|Invoice|1001|2026-05-01|1|4|1.5|72|
11|SalesReceipt|1003|2026-05-04|6|4|4.5|75|
13|Invoice|1004|2026-05-10|3|18|3|790.80|
17|SalesReceipt|1008|2026-05-12||4|4.5|75|
27|Invoice|1010|2026-05-15|29|5|1|275|taxed
32|Payment|13|2026-05-20|3|2372.40|2|1886
34|Invoice|1019|2026-06-01|24|6|10|33.25|
38|SalesReceipt|1011|2026-06-03|15|10|2.5|35|
42|Invoice|1023|2026-06-05|20|10|2|35|
47|SalesReceipt|1014|2026-06-06|4|6|4|35|
48|Estimate|1001|2026-06-07|18|4|4|75|
70|Invoice|1024|2026-06-10|20|10|4|39|
71|Payment|70|2026-06-15|20|85|1|
75|Invoice|1025|2026-06-18|1|6|5|41|
96|Invoice|1031|2026-06-20|18|4|12|75|
100|Estimate|1002|2026-06-22|24|5|1|275|taxed
103|Invoice|1033|2026-06-25|10|4|8|75|taxed
110|Payment|96|2026-06-28|18|600|2|5664
119|Invoice|1035|2026-07-01|17|11|2|157.04|taxed
126|Invoice|1036|2026-07-03|9|5|1|477.50|
127|Payment|126|2026-07-05|9|392.50|3|
128|Payment||2026-07-08|22|50|1|
130|Invoice|1037|2026-07-09|24|3|5|67|taxed
135|Payment||2026-07-10|12|81|2|9087
"""
CRAIG_LAST_TRANSACTION = 145


def seed_defaults(world: World) -> None:
    for realm, name, country in (
        (RIVERA, "Rivera Plumbing LLC", "US"),
        (OAK, "Oak HVAC Inc", "US"),
        (CRAIG, "Craig's Design and Landscaping Services", "US"),
        (ERABLE, "Érable Rénovation", "CA"),
    ):
        company = world.add_company(realm, name, country)
        seed_company(world, company, CRAIG_ITEMS if realm == CRAIG else FIRM_ITEMS)
    _seed_craig(world, world.companies[CRAIG])


def seed_company(world: World, company: Company, items: str = FIRM_ITEMS) -> None:
    """The chart of accounts, tax, methods, terms and preferences that every company has."""
    seeds = _Seeds(world, company)
    if company.country == "CA":
        world.set_switches(company, language="fr")
    seeds.singletons()
    for fields in _rows(ACCOUNTS):
        seeds.account(*fields)
    for number, (name, kind) in enumerate(PAYMENT_METHODS, 1):
        method: Document = {"Name": name, "Active": True, "Type": kind}
        seeds.put("PaymentMethod", str(number), method)
    for number, (name, days) in enumerate(TERMS, 1):
        term: Document = {"Name": name, "Active": True, "Type": "STANDARD"}
        seeds.put("Term", str(number), {**term, "DueDays": Decimal(days)})
    rates, codes = (US_RATES, US_CODES) if company.is_us else (CANADIAN_RATES, CANADIAN_CODES)
    seeds.taxes(rates, codes)
    for fields in _rows(items):
        seeds.item(*fields)


def _rows(table: str) -> Iterable[list[str]]:
    return (line.split("|") for line in table.strip().splitlines())


class _Seeds:
    """Writes objects as if they had been there since the company was founded."""

    def __init__(self, world: World, company: Company) -> None:
        self.world = world
        self.company = company
        self.moment = FOUNDED

    def put(self, entity: str, object_id: str, values: Document, sequence: str = "") -> None:
        stamp = timestamp(self.moment)
        self.moment += 60
        document: Document = {
            **values,
            "domain": "QBO",
            "sparse": False,
            "Id": object_id,
            "SyncToken": "0",
            "MetaData": {"CreateTime": stamp, "LastUpdatedTime": stamp},
        }
        self.world.put(self.company, entity, document)
        if object_id.isdigit():
            self.world.skip_ids(self.company, sequence or entity, int(object_id))

    @property
    def currency(self) -> Document:
        code = self.company.home_currency
        return {"value": code, "name": {"USD": "United States Dollar"}.get(code, "Canadian Dollar")}

    def account(self, object_id: str, name: str, kind: str, subtype: str, parent: str) -> None:
        above = self.company.get("Account", parent)
        qualified = f"{above['FullyQualifiedName']}:{name}" if above else name
        values: Document = {"Name": name, "SubAccount": above is not None}
        if above:
            values["ParentRef"] = {"value": parent}
        values |= {
            "FullyQualifiedName": qualified,
            "Active": True,
            "Classification": ACCOUNT_TYPES[kind][0],
            "AccountType": kind,
            "AccountSubType": subtype,
            "CurrentBalance": 0,
            "CurrentBalanceWithSubAccounts": 0,
            "CurrencyRef": self.currency,
        }
        self.put("Account", object_id, values)

    def item(
        self,
        object_id: str,
        name: str,
        kind: str,
        price: str,
        account: str,
        taxable: str,
        description: str,
    ) -> None:
        income = self.company.get("Account", account) or {}
        values: Document = {
            "Name": name,
            **({"Description": description} if description else {}),
            "Active": True,
            "FullyQualifiedName": name,
            "Taxable": taxable == "true",
            "UnitPrice": Decimal(price or 0),
            "Type": kind,
            "IncomeAccountRef": {"value": account, "name": income.get("FullyQualifiedName")},
            "PurchaseCost": 0,
        }
        if kind == "Inventory":
            values |= {
                "ExpenseAccountRef": {"value": "80", "name": "Cost of Goods Sold"},
                "AssetAccountRef": {"value": "81", "name": "Inventory Asset"},
                "QtyOnHand": 25,
                "InvStartDate": "2015-10-01",
            }
        values["TrackQtyOnHand"] = kind == "Inventory"
        self.put("Item", object_id, values)

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
            for name, taxable in (("TAX", True), ("NON", False)):
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
        self.put("Preferences", "1", _preferences(company.is_us))


def _preferences(us: bool) -> Document:
    def message(kind: str) -> Document:
        words = f"Here's your {kind.lower()}! We appreciate your prompt payment."
        return {"Subject": f"{kind} from our company", "Message": words}

    currency = "USD" if us else "CAD"
    no_custom_fields: Document = {
        "CustomField": [_custom_flag(number, False) for number in range(1, 4)]
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
            "CustomTxnNumbers": False,
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


def _custom_flag(number: int, is_used: bool) -> Document:
    name = f"SalesFormsPrefs.UseSalesCustom{number}"
    return {"Name": name, "Type": "BooleanType", "BooleanValue": is_used}


# Craig's Design and Landscaping Services -------------------------------------------------------


def _seed_craig(world: World, company: Company) -> None:
    seeds = _Seeds(world, company)
    for fields in _rows(CRAIG_CUSTOMERS):
        _seed_customer(seeds, *fields)
    for object_id, name in _rows(CRAIG_VENDORS):
        values: Document = {
            "Balance": 0,
            "Vendor1099": False,
            "CurrencyRef": seeds.currency,
            "DisplayName": name,
            "PrintOnCheckName": name.removesuffix(" (deleted)"),
            "Active": not name.endswith(" (deleted)"),
        }
        seeds.put("Vendor", object_id, values, "names")
    for object_id, given, family, active in CRAIG_EMPLOYEES:
        name = f"{given} {family}"
        employee: Document = {
            "BillableTime": False,
            "GivenName": given,
            "FamilyName": family,
            "DisplayName": name if active else f"{name} (deleted)",
            "PrintOnCheckName": name,
            "Active": active,
        }
        seeds.put("Employee", object_id, employee, "names")
    preferences = company.all("Preferences")["1"]
    crew: Document = {"Name": "SalesFormsPrefs.SalesCustomName1", "Type": "StringType"}
    custom: list[Document] = [
        {"CustomField": [_custom_flag(number, number == 1) for number in range(1, 4)]},
        {"CustomField": [{**crew, "StringValue": "Crew #"}]},
    ]
    forms: Document = {**company.preference("SalesFormsPrefs"), "CustomField": [*custom]}
    world.put(company, "Preferences", {**preferences, "SalesFormsPrefs": forms})
    _seed_transactions(world, company)
    fees = company.all("Account")["5"]
    name = "Fees Billed (deleted)"
    values = {"Name": name, "FullyQualifiedName": name, "Active": False, "SyncToken": "1"}
    world.put(company, "Account", {**fees, **values})


def _seed_customer(
    seeds: _Seeds,
    object_id: str,
    name: str,
    given: str,
    family: str,
    firm: str,
    phone: str,
    email: str,
    line: str,
    city: str,
    state: str,
    zip_code: str,
    parent: str,
    taxable: str,
) -> None:
    above = seeds.company.get("Customer", parent)
    values: Document = {"Taxable": taxable == "true"}
    if line:
        values["BillAddr"] = values["ShipAddr"] = {
            "Id": str(int(object_id) + 1),
            "Line1": line,
            "City": city,
            "CountrySubDivisionCode": state,
            "PostalCode": zip_code,
            "Lat": "INVALID",
            "Long": "INVALID",
        }
        seeds.world.skip_ids(seeds.company, "addresses", int(object_id) + 1)
    values |= {"Job": above is not None, "BillWithParent": False}
    if above:
        values |= {"ParentRef": {"value": parent}, "Level": 1}
    values |= {
        "Balance": 0,
        "BalanceWithJobs": 0,
        "CurrencyRef": seeds.currency,
        "PreferredDeliveryMethod": "Print",
        "GivenName": given,
        "FamilyName": family,
        "FullyQualifiedName": f"{above['FullyQualifiedName']}:{name}" if above else name,
        "CompanyName": firm,
        "DisplayName": name,
        "PrintOnCheckName": firm or name,
        "Active": True,
    }
    if phone:
        values["PrimaryPhone"] = {"FreeFormNumber": phone}
    if email:
        values["PrimaryEmailAddr"] = {"Address": email}
    kept: Document = {key: value for key, value in values.items() if value != ""}
    seeds.put("Customer", object_id, kept, "names")


def _seed_transactions(world: World, company: Company) -> None:
    """Through the ordinary operations, on a clock put back to each date."""
    offset = world.clock.offset
    books = Books(world, company)
    for object_id, entity, reference, day, customer, *rest in _rows(CRAIG_TRANSACTIONS):
        noon = datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=PACIFIC)
        world.clock.offset = noon.timestamp() - time.time()
        company.sequences["transactions"] = int(object_id) - 1
        body: Document = {"TxnDate": day}
        if customer:
            body["CustomerRef"] = {"value": customer}
        if entity == "Payment":
            body |= _payment_body(reference, *rest)
        else:
            body |= {"DocNumber": reference, **_form_body(*rest)}
        save(books, SCHEMAS[entity], body)
    world.clock.offset = offset
    world.skip_ids(company, "transactions", CRAIG_LAST_TRANSACTION)


def _payment_body(invoice: str, amount: str, method: str, reference: str) -> Document:
    body: Document = {"TotalAmt": Decimal(amount), "PaymentMethodRef": {"value": method}}
    if reference:
        body["PaymentRefNum"] = reference
    if invoice:
        link: Document = {"TxnId": invoice, "TxnType": "Invoice"}
        body["Line"] = [{"Amount": Decimal(amount), "LinkedTxn": [link]}]
    return body


def _form_body(item: str, quantity: str, price: str, taxed: str) -> Document:
    amount = money(Decimal(quantity) * Decimal(price))
    detail: Document = {
        "ItemRef": {"value": item},
        "UnitPrice": Decimal(price),
        "Qty": Decimal(quantity),
        "TaxCodeRef": {"value": "TAX" if taxed else "NON"},
    }
    line: Document = {
        "Amount": amount,
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": detail,
    }
    body: Document = {"Line": [line]}
    if taxed:
        body["TxnTaxDetail"] = {"TxnTaxCodeRef": {"value": "2"}}
    return body
