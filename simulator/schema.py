"""The schema of each QuickBooks entity: fields, lengths, references, and what can be queried.

Entities not in `SCHEMAS` are supported generically: any property is stored as sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from simulator.elements import ENUMERATIONS, REFERENCES, TYPES, Element

NAME_FORBIDS = ":\t\n\r"


@dataclass(frozen=True, slots=True)
class Text:
    longest: int | None = None
    forbids: str = ""
    format: str = ""  # "email" or "url"


@dataclass(frozen=True, slots=True)
class Flag:
    pass


@dataclass(frozen=True, slots=True)
class Number:
    """`money` is stored with two decimals; other numbers as sent."""

    money: bool = False


@dataclass(frozen=True, slots=True)
class Day:
    pass


@dataclass(frozen=True, slots=True)
class OneOf:
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Ref:
    """A reference by id. `family` is QuickBooks' word for the type in fault 2500."""

    entity: str | None
    family: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    class_name: str
    fields: Mapping[str, Kind]


@dataclass(frozen=True, slots=True)
class Many:
    of: Kind


@dataclass(frozen=True, slots=True)
class Computed:
    """Set by QuickBooks; values sent by clients are silently dropped."""


@dataclass(frozen=True, slots=True)
class AsSent:
    """Stored without checks."""


Kind: TypeAlias = "Text | Flag | Number | Day | OneOf | Ref | Part | Many | Computed | AsSent"

TEXT, FLAG, NUMBER, MONEY, DAY = Text(), Flag(), Number(), Number(money=True), Day()
COMPUTED, AS_SENT = Computed(), AsSent()

CUSTOMER_REF = Ref("Customer", "Names")
ACCOUNT_REF = Ref("Account", "Accounts")
ITEM_REF = Ref("Item", "Items")
CLASS_REF = Ref("Class", "Klasses")
DEPARTMENT_REF = Ref("Department", "Depts")
TERM_REF = Ref("Term", "Terms")
PAYMENT_METHOD_REF = Ref("PaymentMethod", "PaymentMethods")
TAX_CODE_REF = Ref(None)  # checked by the tax rules, not by the reference check
CURRENCY_REF = Ref(None)
LOOSE_REF = Ref(None)

ADDRESS = Part(
    "PhysicalAddress",
    {
        "Id": COMPUTED,
        **{f"Line{n}": Text(500) for n in range(1, 6)},
        "City": Text(255),
        "Country": Text(255),
        "CountryCode": Text(255),
        "County": Text(255),
        "CountrySubDivisionCode": Text(255),
        "PostalCode": Text(30),
        "PostalCodeSuffix": Text(30),
        "Lat": TEXT,
        "Long": TEXT,
        "Tag": TEXT,
        "Note": TEXT,
    },
)
PHONE = Part(
    "TelephoneNumber",
    {
        "Id": COMPUTED,
        "DeviceType": TEXT,
        "CountryCode": TEXT,
        "AreaCode": TEXT,
        "ExchangeCode": TEXT,
        "Extension": TEXT,
        "FreeFormNumber": Text(30),
        "Default": FLAG,
        "Tag": TEXT,
    },
)


def _email(longest: int) -> Part:
    return Part(
        "EmailAddress",
        {
            "Id": COMPUTED,
            "Address": Text(longest, format="email"),
            "Default": FLAG,
            "Tag": TEXT,
        },
    )


WEBSITE = Part(
    "WebSiteAddress",
    {"Id": COMPUTED, "URI": Text(1000, format="url"), "Default": FLAG, "Tag": TEXT},
)
LINKED_TXN = Part("LinkedTxn", {"TxnId": TEXT, "TxnType": TEXT, "TxnLineId": TEXT})
CUSTOM_FIELD = Part(
    "CustomField",
    {
        "DefinitionId": TEXT,
        "Name": TEXT,
        "Type": TEXT,
        "StringValue": Text(31),
        "BooleanValue": FLAG,
        "DateValue": DAY,
        "NumberValue": NUMBER,
    },
)
MEMO = Part("MemoRef", {"value": Text(1000), "name": TEXT})

# Properties of every object.
COMMON: Mapping[str, Kind] = {
    "Id": TEXT,
    "SyncToken": TEXT,
    "MetaData": COMPUTED,
    "CustomField": Many(CUSTOM_FIELD),
    "AttachableRef": AS_SENT,
    "domain": COMPUTED,
    "status": COMPUTED,
    "sparse": FLAG,
}

TAX_DETAIL = Part(
    "TxnTaxDetail",
    {
        "DefaultTaxCodeRef": TAX_CODE_REF,
        "TxnTaxCodeRef": TAX_CODE_REF,
        "TotalTax": MONEY,
        "TaxReviewStatus": COMPUTED,
        "UseAutomatedSalesTax": COMPUTED,
        "TaxLine": Many(
            Part(
                "Line",
                {
                    "Id": TEXT,
                    "LineNum": NUMBER,
                    "Description": Text(4000),
                    "Amount": MONEY,
                    "DetailType": TEXT,
                    "TaxLineDetail": Part(
                        "TaxLineDetail",
                        {
                            "TaxRateRef": LOOSE_REF,
                            "PercentBased": FLAG,
                            "TaxPercent": NUMBER,
                            "TaxInclusiveAmount": MONEY,
                            "OverrideDeltaAmount": MONEY,
                            "NetAmountTaxable": MONEY,
                            "ServiceDate": DAY,
                            "CISTaxAmount": MONEY,
                        },
                    ),
                },
            )
        ),
    },
)

LINE_DETAIL_TYPES = frozenset(
    "PaymentLineDetail DiscountLineDetail TaxLineDetail SalesItemLineDetail "
    "ItemBasedExpenseLineDetail AccountBasedExpenseLineDetail DepositLineDetail "
    "PurchaseOrderItemLineDetail ItemReceiptLineDetail JournalEntryLineDetail GroupLineDetail "
    "DescriptionOnly SubTotalLineDetail SalesOrderItemLineDetail TDSLineDetail "
    "ReimburseLineDetail ItemAdjustmentLineDetail".split()
)
SALES_ITEM_DETAIL = Part(
    "SalesItemLineDetail",
    {
        "ItemRef": ITEM_REF,
        "ItemAccountRef": LOOSE_REF,
        "InventorySiteRef": LOOSE_REF,
        "ClassRef": CLASS_REF,
        "PriceLevelRef": LOOSE_REF,
        "UnitPrice": NUMBER,
        "RatePercent": NUMBER,
        "MarkupInfo": AS_SENT,
        "Qty": NUMBER,
        "UOMRef": AS_SENT,
        "TaxCodeRef": TAX_CODE_REF,
        "TaxClassificationRef": LOOSE_REF,
        "ServiceDate": DAY,
        "TaxInclusiveAmt": MONEY,
        "DiscountRate": NUMBER,
        "DiscountAmt": MONEY,
        "DeferredRevenue": FLAG,
        "CustomerRef": LOOSE_REF,
        "BillableStatus": TEXT,
    },
)
DISCOUNT_DETAIL = Part(
    "DiscountLineDetail",
    {
        "Discount": AS_SENT,
        "DiscountRef": LOOSE_REF,
        "PercentBased": FLAG,
        "DiscountPercent": NUMBER,
        "DiscountAccountRef": ACCOUNT_REF,
        "ServiceDate": DAY,
        "ClassRef": CLASS_REF,
        "TaxCodeRef": TAX_CODE_REF,
    },
)
SALES_LINE = Part(
    "Line",
    {
        "Id": TEXT,
        "LineNum": NUMBER,
        "Description": Text(4000),
        "Amount": MONEY,
        "Received": MONEY,
        "LinkedTxn": Many(LINKED_TXN),
        "DetailType": OneOf(LINE_DETAIL_TYPES),
        "SalesItemLineDetail": SALES_ITEM_DETAIL,
        "DiscountLineDetail": DISCOUNT_DETAIL,
        "SubTotalLineDetail": AS_SENT,
        "SubtotalLineDetail": AS_SENT,
        "DescriptionLineDetail": AS_SENT,
        "GroupLineDetail": AS_SENT,
        "TaxLineDetail": AS_SENT,
        "CustomField": AS_SENT,
        "CustomExtensions": AS_SENT,
        "LineEx": COMPUTED,
    },
)

SALES_FORM: Mapping[str, Kind] = {
    "DocNumber": Text(21),
    "AutoDocNumber": FLAG,
    "TxnDate": DAY,
    "DepartmentRef": DEPARTMENT_REF,
    "CurrencyRef": CURRENCY_REF,
    "ExchangeRate": NUMBER,
    "PrivateNote": Text(4000),
    "TxnStatus": TEXT,
    "LinkedTxn": Many(LINKED_TXN),
    "Line": Many(SALES_LINE),
    "TxnTaxDetail": TAX_DETAIL,
    "TxnSource": TEXT,
    "TaxFormType": TEXT,
    "TaxFormNum": TEXT,
    "TransactionLocationType": TEXT,
    "Tag": AS_SENT,
    "TxnApprovalInfo": AS_SENT,
    "RecurDataRef": COMPUTED,
    "RecurringInfo": COMPUTED,
    "CustomerRef": CUSTOMER_REF,
    "ProjectRef": LOOSE_REF,
    "CustomerMemo": MEMO,
    "BillAddr": ADDRESS,
    "ShipAddr": ADDRESS,
    "ShipFromAddr": ADDRESS,
    "RemitToRef": LOOSE_REF,
    "ClassRef": CLASS_REF,
    "SalesTermRef": TERM_REF,
    "DueDate": DAY,
    "SalesRepRef": LOOSE_REF,
    "PONumber": Text(15),
    "FOB": Text(15),
    "ShipMethodRef": LOOSE_REF,
    "ShipDate": DAY,
    "TrackingNum": TEXT,
    "GlobalTaxCalculation": OneOf(frozenset({"TaxExcluded", "TaxInclusive", "NotApplicable"})),
    "TotalAmt": COMPUTED,
    "HomeTotalAmt": COMPUTED,
    "ApplyTaxAfterDiscount": FLAG,
    "TemplateRef": LOOSE_REF,
    "PrintStatus": OneOf(frozenset({"NotSet", "NeedToPrint", "PrintComplete"})),
    "EmailStatus": OneOf(frozenset({"NotSet", "NeedToSend", "EmailSent"})),
    "BillEmail": _email(100),
    "BillEmailCc": _email(200),
    "BillEmailBcc": _email(200),
    "ARAccountRef": ACCOUNT_REF,
    "Balance": COMPUTED,
    "HomeBalance": COMPUTED,
    "FinanceCharge": FLAG,
    "PaymentMethodRef": PAYMENT_METHOD_REF,
    "PaymentRefNum": TEXT,
    "PaymentType": TEXT,
    "CheckPayment": AS_SENT,
    "CreditCardPayment": AS_SENT,
    "DepositToAccountRef": ACCOUNT_REF,
    "DeliveryInfo": COMPUTED,
    "DiscountRate": NUMBER,
    "DiscountAmt": MONEY,
    "GovtTxnRefIdentifier": TEXT,
    "TaxExemptionRef": COMPUTED,
    "FreeFormAddress": COMPUTED,
    "PaymentDetailsMessage": TEXT,
    "ConvenienceFeeDetail": AS_SENT,
    "PrintDocumentId": TEXT,
}
INVOICE: Mapping[str, Kind] = {
    **SALES_FORM,
    "Deposit": MONEY,
    "AllowIPNPayment": FLAG,
    "AllowOnlinePayment": FLAG,
    "AllowOnlineCreditCardPayment": FLAG,
    "AllowOnlineACHPayment": FLAG,
    "AllowOnlinePayPalPayment": FLAG,
    "EInvoiceStatus": COMPUTED,
    "ECloudStatusTimeStamp": COMPUTED,
    "invoiceStatus": COMPUTED,
    "callToAction": COMPUTED,
    "invoiceStatusLog": COMPUTED,
    "InvoiceEx": AS_SENT,
    "InvoiceLink": COMPUTED,
    "LessCIS": COMPUTED,
    "TaxExemptionReasonId": TEXT,
    "CustomExtensions": AS_SENT,
}
CREDIT_MEMO: Mapping[str, Kind] = {
    **SALES_FORM,
    "RemainingCredit": COMPUTED,
    "InvoiceRef": LOOSE_REF,
}
SALES_RECEIPT: Mapping[str, Kind] = {**SALES_FORM}
ESTIMATE: Mapping[str, Kind] = {
    **SALES_FORM,
    "ExpirationDate": DAY,
    "AcceptedBy": TEXT,
    "AcceptedDate": DAY,
}

PAYMENT: Mapping[str, Kind] = {
    "DocNumber": Text(21),
    "TxnDate": DAY,
    "DepartmentRef": DEPARTMENT_REF,
    "CurrencyRef": CURRENCY_REF,
    "ExchangeRate": NUMBER,
    "PrivateNote": Text(4000),
    "TxnStatus": TEXT,
    "LinkedTxn": COMPUTED,
    "Line": Many(
        Part(
            "Line",
            {
                "Id": TEXT,
                "LineNum": NUMBER,
                "Description": Text(4000),
                "Amount": MONEY,
                "Received": MONEY,
                "LinkedTxn": Many(LINKED_TXN),
                "DetailType": TEXT,
                "PaymentLineDetail": AS_SENT,
                "LineEx": COMPUTED,
                "CustomField": AS_SENT,
            },
        )
    ),
    "TxnTaxDetail": TAX_DETAIL,
    "TxnSource": TEXT,
    "TaxFormType": TEXT,
    "TaxFormNum": TEXT,
    "TransactionLocationType": TEXT,
    "Tag": AS_SENT,
    "TaxExemptionRef": AS_SENT,
    "ProjectRef": LOOSE_REF,
    "CustomerRef": CUSTOMER_REF,
    "RemitToRef": LOOSE_REF,
    "ARAccountRef": ACCOUNT_REF,
    "DepositToAccountRef": ACCOUNT_REF,
    "PaymentMethodRef": PAYMENT_METHOD_REF,
    "PaymentRefNum": TEXT,
    "PaymentType": OneOf(frozenset({"Cash", "Check", "CreditCard", "Expense", "Other"})),
    "CheckPayment": AS_SENT,
    "CreditCardPayment": AS_SENT,
    "TotalAmt": MONEY,
    "UnappliedAmt": COMPUTED,
    "ProcessPayment": FLAG,
    "PaymentEx": AS_SENT,
    "HomeTotalAmt": COMPUTED,
}

PERSON: Mapping[str, Kind] = {
    "Title": Text(16, NAME_FORBIDS),
    "GivenName": Text(100, NAME_FORBIDS),
    "MiddleName": Text(100, NAME_FORBIDS),
    "FamilyName": Text(100, NAME_FORBIDS),
    "Suffix": Text(16, NAME_FORBIDS),
    "DisplayName": Text(500, NAME_FORBIDS),
    "PrintOnCheckName": Text(110, NAME_FORBIDS),
    "FullyQualifiedName": COMPUTED,
    "CompanyName": Text(100),
    "Active": FLAG,
    "PrimaryPhone": PHONE,
    "AlternatePhone": PHONE,
    "Mobile": PHONE,
    "Fax": PHONE,
    "PrimaryEmailAddr": _email(100),
    "OtherContactInfo": AS_SENT,
    "V4IDPseudonym": COMPUTED,
    "UserId": TEXT,
    "IntuitId": TEXT,
    "Organization": FLAG,
}
CUSTOMER: Mapping[str, Kind] = {
    **PERSON,
    "WebAddr": WEBSITE,
    "BillAddr": ADDRESS,
    "ShipAddr": ADDRESS,
    "OtherAddr": AS_SENT,
    "Taxable": FLAG,
    "Notes": Text(2000),
    "Job": FLAG,
    "BillWithParent": FLAG,
    "RootCustomerRef": COMPUTED,
    "ParentRef": CUSTOMER_REF,
    "Level": COMPUTED,
    "CustomerTypeRef": LOOSE_REF,
    "SalesTermRef": TERM_REF,
    "SalesRepRef": LOOSE_REF,
    "TaxGroupCodeRef": LOOSE_REF,
    "TaxRateRef": LOOSE_REF,
    "PaymentMethodRef": PAYMENT_METHOD_REF,
    "CCDetail": AS_SENT,
    "PriceLevelRef": LOOSE_REF,
    "Balance": MONEY,
    "OpenBalanceDate": DAY,
    "BalanceWithJobs": COMPUTED,
    "CreditLimit": MONEY,
    "AcctNum": TEXT,
    "CurrencyRef": CURRENCY_REF,
    "OverDueBalance": COMPUTED,
    "TotalRevenue": COMPUTED,
    "TotalExpense": COMPUTED,
    "PreferredDeliveryMethod": OneOf(frozenset({"Print", "Email", "None"})),
    "ResaleNum": Text(16),
    "JobInfo": AS_SENT,
    "TDSEnabled": FLAG,
    "CustomerEx": AS_SENT,
    "SecondaryTaxIdentifier": TEXT,
    "ARAccountRef": ACCOUNT_REF,
    "PrimaryTaxIdentifier": TEXT,
    "TaxExemptionReasonId": TEXT,
    "TaxExemptReasonId": TEXT,
    "IsProject": FLAG,
    "BusinessNumber": Text(10),
    "GSTIN": Text(15),
    "GSTRegistrationType": Text(15),
    "ClientCompanyId": TEXT,
    "ClientEntityId": TEXT,
    "DefaultTaxCodeRef": TAX_CODE_REF,
    "Source": TEXT,
    "CustomExtensions": AS_SENT,
}
VENDOR: Mapping[str, Kind] = {
    **PERSON,
    "WebAddr": WEBSITE,
    "BillAddr": ADDRESS,
    "ShipAddr": ADDRESS,
    "OtherAddr": AS_SENT,
    "ContactName": TEXT,
    "AltContactName": TEXT,
    "Notes": Text(4000),
    "TaxCountry": TEXT,
    "TaxIdEin": TEXT,
    "TaxIdentifier": TEXT,
    "TaxReportingBasis": TEXT,
    "TermRef": TERM_REF,
    "PrefillAccountRef": LOOSE_REF,
    "Balance": COMPUTED,
    "BillRate": NUMBER,
    "CostRate": NUMBER,
    "OpenBalanceDate": DAY,
    "CreditLimit": MONEY,
    "AcctNum": Text(100),
    "Vendor1099": FLAG,
    "T4AEligible": FLAG,
    "T5018Eligible": FLAG,
    "CurrencyRef": CURRENCY_REF,
    "TDSEnabled": FLAG,
    "TDSEntityTypeId": NUMBER,
    "TDSSectionTypeId": NUMBER,
    "TDSOverrideThreshold": FLAG,
    "SubcontractorType": TEXT,
    "CISRate": NUMBER,
    "HasTPAR": FLAG,
    "VendorEx": AS_SENT,
    "VendorPaymentBankDetail": AS_SENT,
    "APAccountRef": ACCOUNT_REF,
    "BusinessNumber": Text(10),
    "GSTIN": Text(15),
    "GSTRegistrationType": Text(15),
    "Source": TEXT,
}
EMPLOYEE: Mapping[str, Kind] = {
    **PERSON,
    "EmployeeType": TEXT,
    "EmployeeNumber": TEXT,
    "SSN": TEXT,
    "PrimaryAddr": ADDRESS,
    "OtherAddr": AS_SENT,
    "BillableTime": FLAG,
    "BillRate": NUMBER,
    "CostRate": NUMBER,
    "BirthDate": DAY,
    "Gender": OneOf(frozenset({"Male", "Female", ""})),
    "HiredDate": DAY,
    "ReleasedDate": DAY,
    "UseTimeEntry": TEXT,
    "EmployeeEx": AS_SENT,
    "EmailAddress": AS_SENT,
}
ITEM_TYPES = frozenset(
    "Assembly Category Group Inventory NonInventory Payment Service Subtotal Discount Tax "
    "Bundle".split()
) | {"Fixed Asset", "Other Charge", "Tax Group"}
ITEM: Mapping[str, Kind] = {
    "Name": Text(100, NAME_FORBIDS),
    "Sku": Text(100),
    "Description": Text(4000),
    "Active": FLAG,
    "SubItem": FLAG,
    "ParentRef": ITEM_REF,
    "Level": COMPUTED,
    "FullyQualifiedName": COMPUTED,
    "Taxable": FLAG,
    "SalesTaxIncluded": FLAG,
    "PercentBased": FLAG,
    "UnitPrice": NUMBER,
    "RatePercent": NUMBER,
    "Type": OneOf(ITEM_TYPES),
    "PaymentMethodRef": PAYMENT_METHOD_REF,
    "UOMSetRef": LOOSE_REF,
    "IncomeAccountRef": ACCOUNT_REF,
    "PurchaseDesc": Text(1000),
    "PurchaseTaxIncluded": FLAG,
    "PurchaseCost": NUMBER,
    "ExpenseAccountRef": ACCOUNT_REF,
    "COGSAccountRef": ACCOUNT_REF,
    "AssetAccountRef": ACCOUNT_REF,
    "PrefVendorRef": Ref("Vendor", "Names"),
    "AvgCost": COMPUTED,
    "TrackQtyOnHand": FLAG,
    "QtyOnHand": NUMBER,
    "QtyOnPurchaseOrder": COMPUTED,
    "QtyOnSalesOrder": COMPUTED,
    "ReorderPoint": NUMBER,
    "ManPartNum": TEXT,
    "DepositToAccountRef": ACCOUNT_REF,
    "SalesTaxCodeRef": TAX_CODE_REF,
    "PurchaseTaxCodeRef": TAX_CODE_REF,
    "InvStartDate": DAY,
    "BuildPoint": NUMBER,
    "PrintGroupedItems": FLAG,
    "SpecialItem": FLAG,
    "SpecialItemType": TEXT,
    "ItemGroupDetail": AS_SENT,
    "ItemAssemblyDetail": AS_SENT,
    "AbatementRate": NUMBER,
    "ReverseChargeRate": NUMBER,
    "ServiceType": TEXT,
    "ItemCategoryType": TEXT,
    "TaxClassificationRef": LOOSE_REF,
    "ClassRef": CLASS_REF,
    "UQCDisplayText": TEXT,
    "UQCId": TEXT,
    "ItemEx": AS_SENT,
    "Source": TEXT,
}
ACCOUNT_TYPES: Mapping[str, tuple[str, str]] = {  # type: (classification, default subtype)
    "Bank": ("Asset", "Checking"),
    "Accounts Receivable": ("Asset", "AccountsReceivable"),
    "Other Current Asset": ("Asset", "OtherCurrentAssets"),
    "Fixed Asset": ("Asset", "OtherFixedAssets"),
    "Other Asset": ("Asset", "OtherLongTermAssets"),
    "Accounts Payable": ("Liability", "AccountsPayable"),
    "Credit Card": ("Liability", "CreditCard"),
    "Other Current Liability": ("Liability", "OtherCurrentLiabilities"),
    "Long Term Liability": ("Liability", "OtherLongTermLiabilities"),
    "Equity": ("Equity", "OpeningBalanceEquity"),
    "Income": ("Revenue", "SalesOfProductIncome"),
    "Cost of Goods Sold": ("Expense", "SuppliesMaterialsCogs"),
    "Expense": ("Expense", "OtherMiscellaneousServiceCost"),
    "Other Income": ("Revenue", "OtherMiscellaneousIncome"),
    "Other Expense": ("Expense", "OtherMiscellaneousExpense"),
    "Non-Posting": ("", "Non-Posting"),
}
ACCOUNT_SUBTYPES: Mapping[str, tuple[str, ...]] = {  # the usual ones, by type
    "Bank": tuple("CashOnHand MoneyMarket RentsHeldInTrust Savings TrustAccounts".split()),
    "Other Current Asset": tuple(
        "AllowanceForBadDebts DevelopmentCosts EmployeeCashAdvances Inventory LoansToOthers "
        "LoansToStockholders PrepaidExpenses Retainage UndepositedFunds".split()
    ),
    "Fixed Asset": tuple(
        "AccumulatedDepreciation Buildings FurnitureAndFixtures Land LeaseholdImprovements "
        "MachineryAndEquipment Vehicles".split()
    ),
    "Other Current Liability": tuple(
        "GlobalTaxPayable InsurancePayable LineOfCredit LoanPayable PayrollClearing "
        "PayrollTaxPayable SalesTaxPayable".split()
    ),
    "Long Term Liability": tuple("NotesPayable ShareholderNotesPayable".split()),
    "Equity": tuple("CommonStock OwnersEquity PartnersEquity RetainedEarnings".split()),
    "Income": tuple(
        "DiscountsRefundsGiven NonProfitIncome OtherPrimaryIncome ServiceFeeIncome "
        "UnappliedCashPaymentIncome".split()
    ),
    "Cost of Goods Sold": tuple(
        "CostOfLaborCos EquipmentRentalCos ShippingFreightDelivery".split()
    ),
    "Expense": tuple(
        "AdvertisingPromotional Auto BankCharges DuesSubscriptions EntertainmentMeals "
        "EquipmentRental Insurance LegalProfessionalFees OfficeGeneralAdministrativeExpenses "
        "PayrollExpenses RentOrLeaseOfBuildings RepairMaintenance SuppliesMaterials TaxesPaid "
        "Travel TravelMeals Utilities".split()
    ),
    "Other Income": tuple("InterestEarned DividendIncome OtherInvestmentIncome".split()),
    "Other Expense": tuple("Amortization Depreciation ExchangeGainOrLoss".split()),
}
ACCOUNT: Mapping[str, Kind] = {
    "Name": Text(100, ':"'),
    "SubAccount": FLAG,
    "ParentRef": ACCOUNT_REF,
    "Description": Text(100),
    "FullyQualifiedName": COMPUTED,
    "AccountAlias": TEXT,
    "TxnLocationType": TEXT,
    "Active": FLAG,
    "Classification": COMPUTED,
    "AccountType": OneOf(frozenset(ACCOUNT_TYPES)),
    "AccountSubType": TEXT,
    "AccountPurposes": AS_SENT,
    "AcctNum": Text(20),
    "AcctNumExtn": TEXT,
    "BankNum": TEXT,
    "OpeningBalance": MONEY,
    "OpeningBalanceDate": DAY,
    "CurrentBalance": COMPUTED,
    "CurrentBalanceWithSubAccounts": COMPUTED,
    "CurrencyRef": CURRENCY_REF,
    "TaxAccount": FLAG,
    "TaxCodeRef": TAX_CODE_REF,
    "OnlineBankingEnabled": FLAG,
    "FIName": TEXT,
    "JournalCodeRef": LOOSE_REF,
    "AccountEx": AS_SENT,
}
PAYMENT_METHOD: Mapping[str, Kind] = {
    "Name": Text(31),
    "Active": FLAG,
    "Type": OneOf(frozenset({"CREDIT_CARD", "NON_CREDIT_CARD"})),
    "PaymentMethodEx": AS_SENT,
}
TERM: Mapping[str, Kind] = {
    "Name": Text(31),
    "Active": FLAG,
    "Type": COMPUTED,
    "DiscountPercent": NUMBER,
    "DueDays": NUMBER,
    "DiscountDays": NUMBER,
    "DayOfMonthDue": NUMBER,
    "DiscountDayOfMonth": NUMBER,
    "DueNextMonthDays": NUMBER,
    "SalesTermEx": AS_SENT,
}

META_TIMES = frozenset({"MetaData.CreateTime", "MetaData.LastUpdatedTime"})
NAME_LIST = frozenset({"Id", "Name", "Active", "FullyQualifiedName"}) | META_TIMES
SALES_FILTERS = (
    frozenset({"Id", "DocNumber", "TxnDate", "DueDate", "TotalAmt", "Balance", "CustomerRef"})
    | META_TIMES
)


@dataclass(frozen=True, slots=True)
class Entity:
    """One entity. `fields` is empty if it is handled generically."""

    name: str
    fields: Mapping[str, Kind] = field(default_factory=dict)
    filters: frozenset[str] = frozenset()  # empty: all properties can be filtered
    is_list: bool = False  # deactivated, never deleted
    name_property: str | None = None
    sequence: str = ""  # the id sequence it uses; empty: its own
    required: tuple[str, ...] = ()
    is_singleton: bool = False


def _name_entity(name: str, fields: Mapping[str, Kind], extra: frozenset[str]) -> Entity:
    filters = META_TIMES | extra
    filters |= {"Id", "GivenName", "MiddleName", "FamilyName", "Suffix", "DisplayName"}
    filters |= {"CompanyName", "PrintOnCheckName", "Active", "PrimaryEmailAddr", "PrimaryPhone"}
    return Entity(
        name,
        {**COMMON, **fields},
        filters,
        is_list=True,
        name_property="DisplayName",
        sequence="names",
    )


SCHEMAS: dict[str, Entity] = {
    "Customer": _name_entity(
        "Customer",
        CUSTOMER,
        frozenset({"FullyQualifiedName", "IsProject", "Balance", "Job", "ParentRef"}),
    ),
    "Vendor": _name_entity("Vendor", VENDOR, frozenset({"Balance", "AcctNum", "Vendor1099"})),
    "Employee": _name_entity("Employee", EMPLOYEE, frozenset({"EmployeeNumber", "HiredDate"})),
    "Item": Entity(
        "Item",
        {**COMMON, **ITEM},
        NAME_LIST | {"Sku", "Type", "Description", "UnitPrice", "ParentRef", "SubItem", "Taxable"},
        is_list=True,
        name_property="Name",
        required=("Name",),
    ),
    "Account": Entity(
        "Account",
        {**COMMON, **ACCOUNT},
        NAME_LIST
        | {"AccountType", "AccountSubType", "Classification", "AcctNum", "SubAccount"}
        | {"CurrentBalance", "ParentRef", "Description"},
        is_list=True,
        name_property="Name",
        required=("Name",),
    ),
    "PaymentMethod": Entity(
        "PaymentMethod",
        {**COMMON, **PAYMENT_METHOD},
        NAME_LIST - {"FullyQualifiedName"} | {"Type"},
        is_list=True,
        name_property="Name",
        required=("Name",),
    ),
    "Term": Entity(
        "Term",
        {**COMMON, **TERM},
        NAME_LIST - {"FullyQualifiedName"} | {"Type", "DueDays"},
        is_list=True,
        name_property="Name",
        required=("Name",),
    ),
    "Invoice": Entity(
        "Invoice",
        {**COMMON, **INVOICE},
        SALES_FILTERS,
        sequence="transactions",
        required=("Line", "CustomerRef"),
    ),
    "CreditMemo": Entity(
        "CreditMemo",
        {**COMMON, **CREDIT_MEMO},
        SALES_FILTERS | {"RemainingCredit"},
        sequence="transactions",
        required=("Line", "CustomerRef"),
    ),
    "SalesReceipt": Entity(
        "SalesReceipt",
        {**COMMON, **SALES_RECEIPT},
        SALES_FILTERS | {"PaymentRefNum"},
        sequence="transactions",
        required=("Line",),
    ),
    "RefundReceipt": Entity(
        "RefundReceipt",
        {**COMMON, **SALES_RECEIPT},
        SALES_FILTERS | {"PaymentRefNum"},
        sequence="transactions",
        required=("Line",),
    ),
    "Estimate": Entity(
        "Estimate",
        {**COMMON, **ESTIMATE},
        SALES_FILTERS | {"TxnStatus", "ExpirationDate"},
        sequence="transactions",
        required=("Line", "CustomerRef"),
    ),
    "Payment": Entity(
        "Payment",
        {**COMMON, **PAYMENT},
        frozenset({"Id", "TxnDate", "TotalAmt", "CustomerRef", "PaymentRefNum", "UnappliedAmt"})
        | META_TIMES,
        sequence="transactions",
        required=("CustomerRef",),
    ),
    "CompanyInfo": Entity("CompanyInfo", is_singleton=True),
    "Preferences": Entity("Preferences", is_singleton=True),
    "TaxRate": Entity("TaxRate", is_list=True, name_property="Name"),
    "TaxCode": Entity("TaxCode", is_list=True, name_property="Name"),
    "TaxAgency": Entity("TaxAgency", name_property="DisplayName"),
    "Deposit": Entity("Deposit", sequence="transactions"),
}

_GENERIC_LISTS = (
    "Class Department CustomerType CompanyCurrency JournalCode TaxClassification "
    "TaxPayment InventorySite"
)
_GENERIC_TRANSACTIONS = (
    "Bill BillPayment JournalEntry Purchase PurchaseOrder TimeActivity Transfer VendorCredit "
    "CreditCardPayment RecurringTransaction ReimburseCharge InventoryAdjustment TaxReturn "
    "ChargeCredit Charge StatementCharge Cashback"
)
for _name in _GENERIC_LISTS.split():
    SCHEMAS[_name] = Entity(_name, is_list=True, name_property="Name")
for _name in _GENERIC_TRANSACTIONS.split():
    SCHEMAS[_name] = Entity(_name, sequence="transactions")
for _name in ("Attachable", "Budget", "ExchangeRate", "Entitlements", "EmployeeType"):
    SCHEMAS[_name] = Entity(_name)

# Properties in Intuit's schema that the tables above lack are accepted, too.
_READ_ONLY = frozenset(
    "TotalCostAmount HomeTotalCostAmount RecurDataRef RecurringInfo InvoiceLinkExpiryDate "
    "InvoiceLinkSecurityCode AutoPayEligible SchedulePayEligible ScheduledPaymentId LessCIS "
    "RemainingCredit TaxReviewStatus".split()
)


def _kind_of(element: Element) -> Kind:
    kind: Kind = AS_SENT
    if element.name in _READ_ONLY:
        return COMPUTED
    if element.type in REFERENCES:
        kind = LOOSE_REF
    elif element.type in ENUMERATIONS:
        kind = OneOf(frozenset(ENUMERATIONS[element.type]))
    else:
        kind = _PRIMITIVES.get(element.type, AS_SENT)
    return Many(kind) if element.repeats and kind is not AS_SENT else kind


_PRIMITIVES: dict[str, Kind] = {
    "string": TEXT,
    "id": TEXT,
    "boolean": FLAG,
    "decimal": NUMBER,
    "int": NUMBER,
    "positiveInteger": NUMBER,
    "date": DAY,
}


def _completed(class_name: str, fields: Mapping[str, Kind]) -> Mapping[str, Kind]:
    known = {name: _completed_kind(kind) for name, kind in fields.items()}
    for name, element in TYPES.get(class_name, {}).items():
        if name not in known:
            known[name] = _kind_of(element)
    return known


def _completed_kind(kind: Kind) -> Kind:
    if isinstance(kind, Part):
        return Part(kind.class_name, _completed(kind.class_name, kind.fields))
    return Many(_completed_kind(kind.of)) if isinstance(kind, Many) else kind


SCHEMAS = {
    name: replace(entity, fields=_completed(name, entity.fields)) if entity.fields else entity
    for name, entity in SCHEMAS.items()
}

BY_SEGMENT = {name.lower(): entity for name, entity in SCHEMAS.items()}

SALES_FORMS = frozenset({"Invoice", "CreditMemo", "SalesReceipt", "RefundReceipt", "Estimate"})
NAME_ENTITIES = ("Customer", "Vendor", "Employee")


def entity_named(word: str) -> Entity | None:
    """By its name in any case, as in a path segment or after FROM."""
    return BY_SEGMENT.get(word.lower())
