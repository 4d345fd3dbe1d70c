/**
 * The resources of the simulated App Store Connect, in one table: names, relationships, and which requests Apple's OpenAPI
 * document declares for them (docs/apple-facts.md §4.3 to §4.5, §5.2). Paths and query parameters are derived from it.
 */

/** The types of which this sandbox has resources. */
export type TypeName =
  | 'apps'
  | 'appStoreVersions'
  | 'alternativeDistributionKeys'
  | 'alternativeDistributionDomains'
  | 'alternativeDistributionPackages'
  | 'alternativeDistributionPackageVersions'
  | 'alternativeDistributionPackageVariants'
  | 'alternativeDistributionPackageDeltas';

export type Relationship = {
  readonly type: TypeName;
  readonly isMany?: true;
  /** Whether `include` accepts it. */
  readonly isIncludable?: true;
  /** `/v1/TYPE/{id}/NAME` and `/v1/TYPE/{id}/relationships/NAME` exist. */
  readonly hasPath?: true;
};

export type ResourceType = {
  readonly attributes: readonly string[];
  readonly relationships: Readonly<Record<string, Relationship>>;
  /** Relationships to types that this sandbox has no resources of: `include` and `fields` accept them and return nothing. */
  readonly empty?: {
    readonly one: readonly string[];
    readonly many: readonly string[];
    /** Names that `fields` accepts, but `include` does not. */
    readonly unlisted: readonly string[];
    /** The types that the relationships above lead to. */
    readonly types: readonly string[];
  };
  /** `/v1/TYPE` lists all. */
  readonly isListed?: true;
  /**
   * The values that each `filter[…]` accepts; undefined means any value. A name with a dot is an attribute of a
   * relationship.
   */
  readonly filters?: Readonly<Record<string, readonly string[] | undefined>>;
  /** The relationships that `exists[…]` accepts. */
  readonly exists?: readonly string[];
  /** The attributes that `sort` accepts, each also with `-` before it. */
  readonly sort?: readonly string[];
};

/** The largest `limit[…]` of an included relationship, and the default. */
export const MAX_INCLUDED = 50;
export const USUAL_INCLUDED = 10;

const platforms = ['IOS', 'MAC_OS', 'TV_OS', 'VISION_OS'];
const commonStates = `ACCEPTED DEVELOPER_REJECTED IN_REVIEW INVALID_BINARY METADATA_REJECTED PENDING_APPLE_RELEASE
  PENDING_DEVELOPER_RELEASE PREPARE_FOR_SUBMISSION READY_FOR_REVIEW REJECTED REPLACED_WITH_NEW_VERSION
  WAITING_FOR_EXPORT_COMPLIANCE WAITING_FOR_REVIEW`;
const appVersionStates = names(`${commonStates} PROCESSING_FOR_DISTRIBUTION READY_FOR_DISTRIBUTION`);
const appStoreStates = names(
  `${commonStates} DEVELOPER_REMOVED_FROM_SALE NOT_APPLICABLE PENDING_CONTRACT PREORDER_READY_FOR_SALE
  PROCESSING_FOR_APP_STORE READY_FOR_SALE REMOVED_FROM_SALE`,
);
const reviewStates = names(
  'READY_FOR_REVIEW WAITING_FOR_REVIEW IN_REVIEW UNRESOLVED_ISSUES CANCELING COMPLETING COMPLETE',
);

const fileAttributes = ['url', 'urlExpirationDate', 'alternativeDistributionKeyBlob', 'fileChecksum'];

export const resourceTypes: Readonly<Record<TypeName, ResourceType>> = {
  apps: {
    attributes: names(
      `name bundleId sku primaryLocale isOrEverWasMadeForKids subscriptionStatusUrl subscriptionStatusUrlVersion
      subscriptionStatusUrlForSandbox subscriptionStatusUrlVersionForSandbox contentRightsDeclaration
      streamlinedPurchasingEnabled`,
    ),
    relationships: {
      alternativeDistributionKey: { type: 'alternativeDistributionKeys', hasPath: true },
      appStoreVersions: { type: 'appStoreVersions', isMany: true, isIncludable: true, hasPath: true },
    },
    empty: {
      one: names(
        'ciProduct betaLicenseAgreement betaAppReviewDetail endUserLicenseAgreement subscriptionGracePeriod gameCenterDetail',
      ),
      many: names(
        `appEncryptionDeclarations betaGroups preReleaseVersions betaAppLocalizations builds appInfos appClips
        inAppPurchases subscriptionGroups gameCenterEnabledVersions appCustomProductPages inAppPurchasesV2
        promotedPurchases appEvents reviewSubmissions appStoreVersionExperimentsV2`,
      ),
      unlisted: names(
        `betaTesters appPricePoints appPriceSchedule appAvailabilityV2 perfPowerMetrics customerReviews
        analyticsReportRequests marketplaceSearchDetail`,
      ),
      types: names(
        `appEncryptionDeclarations ciProducts betaGroups preReleaseVersions betaAppLocalizations builds
        betaLicenseAgreements betaAppReviewDetails appInfos appClips endUserLicenseAgreements inAppPurchases
        subscriptionGroups gameCenterEnabledVersions appCustomProductPages promotedPurchases appEvents reviewSubmissions
        subscriptionGracePeriods gameCenterDetails appStoreVersionExperiments`,
      ),
    },
    isListed: true,
    filters: {
      id: undefined,
      name: undefined,
      bundleId: undefined,
      sku: undefined,
      appStoreVersions: undefined,
      'appStoreVersions.platform': platforms,
      'appStoreVersions.appStoreState': appStoreStates,
      'appStoreVersions.appVersionState': appVersionStates,
      'reviewSubmissions.platform': platforms,
      'reviewSubmissions.state': reviewStates,
    },
    exists: ['gameCenterEnabledVersions'],
    sort: ['name', 'bundleId', 'sku'],
  },
  appStoreVersions: {
    attributes: names(
      `platform versionString appStoreState appVersionState copyright reviewType releaseType earliestReleaseDate
      downloadable createdDate`,
    ),
    relationships: {
      app: { type: 'apps', isIncludable: true },
      alternativeDistributionPackage: { type: 'alternativeDistributionPackages', isIncludable: true, hasPath: true },
    },
    empty: {
      one: names(
        `ageRatingDeclaration build appStoreVersionPhasedRelease gameCenterAppVersion routingAppCoverage
        appStoreReviewDetail appStoreVersionSubmission appClipDefaultExperience`,
      ),
      many: names('appStoreVersionLocalizations appStoreVersionExperiments appStoreVersionExperimentsV2'),
      unlisted: ['customerReviews'],
      types: names(
        `ageRatingDeclarations appStoreVersionLocalizations builds appStoreVersionPhasedReleases gameCenterAppVersions
        routingAppCoverages appStoreReviewDetails appStoreVersionSubmissions appClipDefaultExperiences
        appStoreVersionExperiments`,
      ),
    },
    filters: {
      id: undefined,
      platform: platforms,
      versionString: undefined,
      appStoreState: appStoreStates,
      appVersionState: appVersionStates,
    },
  },
  alternativeDistributionKeys: { attributes: ['publicKey'], relationships: {}, isListed: true, exists: ['app'] },
  alternativeDistributionDomains: {
    attributes: ['domain', 'referenceName', 'createdDate'],
    relationships: {},
    isListed: true,
  },
  alternativeDistributionPackages: {
    attributes: ['sourceFileChecksum'],
    relationships: {
      versions: {
        type: 'alternativeDistributionPackageVersions',
        isMany: true,
        isIncludable: true,
        hasPath: true,
      },
    },
  },
  alternativeDistributionPackageVersions: {
    attributes: ['url', 'urlExpirationDate', 'version', 'fileChecksum', 'state'],
    relationships: {
      variants: {
        type: 'alternativeDistributionPackageVariants',
        isMany: true,
        isIncludable: true,
        hasPath: true,
      },
      deltas: { type: 'alternativeDistributionPackageDeltas', isMany: true, isIncludable: true, hasPath: true },
      alternativeDistributionPackage: { type: 'alternativeDistributionPackages', isIncludable: true },
    },
    filters: { state: ['COMPLETED', 'REPLACED'] },
  },
  alternativeDistributionPackageVariants: { attributes: fileAttributes, relationships: {} },
  alternativeDistributionPackageDeltas: { attributes: fileAttributes, relationships: {} },
};

function names(text: string): string[] {
  return text.split(/\s+/);
}
